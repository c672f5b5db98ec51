"""The GraphQL door: every public RPC as one field, run by the one chain."""
