"""The only SQL and the only commit of the sidecar: short transactions on the schema ``web3``."""
