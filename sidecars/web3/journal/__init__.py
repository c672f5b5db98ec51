"""The only SQL of the sidecar: its journal in the schema ``web3``."""
