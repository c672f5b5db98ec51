"""The web3 sidecar: credentials, rewards on chains, content on IPFS. Keys and chains live here only."""
