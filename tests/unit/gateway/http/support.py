"""What the tests of the HTTP door share: schemas made on the fly, a door over them, a client without a socket."""

from tests.vectors.transcoding.client import Answer, Client
from tests.vectors.transcoding.door import chain_of, door_for, http_options, passing
from tests.vectors.transcoding.schema import Schema, message_class, pool_with_well_known

__all__ = (
    "Answer",
    "Client",
    "Schema",
    "chain_of",
    "door_for",
    "http_options",
    "message_class",
    "passing",
    "pool_with_well_known",
)
