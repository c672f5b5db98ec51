"""What runs inside a replica: model bundles and their cache."""
