"""The customers of a tenant and their transactions: import, read, erase; features as they stand."""
