from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import consent_acts_pb2 as _consent_acts_pb2
from cohortlens.v1 import consent_checks_pb2 as _consent_checks_pb2
from cohortlens.v1 import consent_data_requests_pb2 as _consent_data_requests_pb2
from cohortlens.v1 import consent_links_pb2 as _consent_links_pb2
from cohortlens.v1 import consent_notices_pb2 as _consent_notices_pb2
from cohortlens.v1 import consent_purposes_pb2 as _consent_purposes_pb2
from cohortlens.v1 import consent_receipts_pb2 as _consent_receipts_pb2
from cohortlens.v1 import credentials_pb2 as _credentials_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
