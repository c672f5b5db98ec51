"""The pages of plan, usage and payment."""
