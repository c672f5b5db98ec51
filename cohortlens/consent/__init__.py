"""What customers allow: purposes, decisions with proof, data requests, and what a consent leads to."""
