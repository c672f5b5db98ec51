"""Content on IPFS: identifiers, the embedded store, remote pinning services."""
