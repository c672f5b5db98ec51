"""The process of durable work: events of the outbox, schedules, upkeep."""
