"""Results of others, computed again: ``python -m tests.vectors DIR`` runs every vector file below a folder."""
