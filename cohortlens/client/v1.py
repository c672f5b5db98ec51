"""The messages and enums of the API, as dataclasses: ``v1.PredictRequest(...)``."""

from cohortlens.client._generated.cohortlens.v1 import *  # noqa: F403 - the generated module says what is public
from cohortlens.client.field_masks import read_as_text
from cohortlens.client.masking import mask

mask(globals())
read_as_text()
