"""The catalogue of plans, and what each tenant may do: one projection that every slice reads."""
