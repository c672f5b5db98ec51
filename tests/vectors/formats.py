"""The formats the runner knows; every area of the product adds its own here."""

from __future__ import annotations

from tests.vectors.cases import Format
from tests.vectors.cohort import COHORT
from tests.vectors.drift import DRIFT
from tests.vectors.transcoding.bookstore import BOOKSTORE_EXCHANGES
from tests.vectors.transcoding.client_expand import CLIENT_EXPAND
from tests.vectors.transcoding.connect_codes import CONNECT_CODES
from tests.vectors.transcoding.errors import ERRORS
from tests.vectors.transcoding.json_mapping import JSON_MAPPING
from tests.vectors.transcoding.masks import PATCH_MASK
from tests.vectors.transcoding.matches import PATH_MATCH, PATH_MATCH_GATEWAY
from tests.vectors.transcoding.queries import QUERY_PARAMS
from tests.vectors.transcoding.requests import HEADERS
from tests.vectors.transcoding.rules import HTTP_RULES
from tests.vectors.transcoding.showcase import SHOWCASE
from tests.vectors.transcoding.statuses import ROUTING_STATUS
from tests.vectors.transcoding.templates import PATH_TEMPLATE
from tests.vectors.vc_keys import DID_KEYS, KEY_PAIRS
from tests.vectors.vc_proofs import PROOF, SECURED, UNSIGNED
from tests.vectors.vc_sources import CONTEXT
from tests.vectors.vc_status import STATUS_LIST

FORMATS: tuple[Format, ...] = (
    COHORT,
    DRIFT,
    SECURED,
    STATUS_LIST,
    KEY_PAIRS,
    DID_KEYS,
    PROOF,
    UNSIGNED,
    CONTEXT,
    JSON_MAPPING,
    ERRORS,
    CONNECT_CODES,
    BOOKSTORE_EXCHANGES,
    CLIENT_EXPAND,
    SHOWCASE,
    PATH_TEMPLATE,
    PATH_MATCH,
    PATH_MATCH_GATEWAY,
    ROUTING_STATUS,
    HTTP_RULES,
    QUERY_PARAMS,
    PATCH_MASK,
    HEADERS,
)
