"""Weekly sequences beside the stored features."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0022_sequences"
down_revision = "0021_charges_of_keys"
branch_labels = None
depends_on = None


_SEQUENCE = """
ALTER TABLE customer_features
  ADD COLUMN sequence bytea,
  ADD COLUMN sequence_hash text CHECK (sequence_hash ~ '^[0-9a-f]{64}$'),
  ADD CONSTRAINT customer_features_sequence_named CHECK ((sequence IS NULL) = (sequence_hash IS NULL));
COMMENT ON COLUMN customer_features.sequence IS
  'Weekly sequence, float32, little-endian, oldest week first; empty in rows of earlier releases.';
COMMENT ON COLUMN customer_features.sequence_hash IS 'Hash of the schema of the sequence.';
"""


def upgrade() -> None:
    """Add the columns; what is stored is a cache and is made again when a model wants it."""
    run_script(_SEQUENCE)
