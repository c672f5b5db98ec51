"""W3C Verifiable Credentials: issue, verify, revoke; DIDs and status lists."""
