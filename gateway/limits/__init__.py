"""Rate limits: how fast an address, a credential, a tenant and its principals may call."""
