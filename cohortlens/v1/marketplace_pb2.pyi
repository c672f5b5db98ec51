from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import marketplace_agreements_pb2 as _marketplace_agreements_pb2
from cohortlens.v1 import marketplace_offers_pb2 as _marketplace_offers_pb2
from cohortlens.v1 import marketplace_queries_pb2 as _marketplace_queries_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
