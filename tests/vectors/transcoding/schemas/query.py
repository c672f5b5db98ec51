"""The message ``Q`` of the vectors of query parameters: a field of every kind, and itself inside.

Source: grpc-ecosystem/grpc-gateway runtime/internal/examplepb @ 9648db43c0246058bec6e832bd53adb0cdf4eead.
"""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.descriptor_pool import DescriptorPool

from tests.vectors.transcoding.schema import Schema

MESSAGE = "q.Q"


@lru_cache(maxsize=1)
def pool() -> DescriptorPool:
    """A pool with ``Q``."""
    wrapper = "google.protobuf.{}Value".format
    fields = {
        "float_value": "float",
        "double_value": "double",
        "int64_value": "int64",
        "int32_value": "int32",
        "uint64_value": "uint64",
        "uint32_value": "uint32",
        "bool_value": "bool",
        "string_value": "string",
        "bytes_value": "bytes",
        "repeated_value": "repeated string",
        "optional_value": "optional string",
        "repeated_message": f"repeated {wrapper('UInt64')}",
        "enum_value": "EnumValue",
        "repeated_enum": "repeated EnumValue",
        "timestamp_value": "google.protobuf.Timestamp",
        "duration_value": "google.protobuf.Duration",
        "fieldmask_value": "google.protobuf.FieldMask",
        "wrapper_float_value": wrapper("Float"),
        "wrapper_double_value": wrapper("Double"),
        "wrapper_int64_value": wrapper("Int64"),
        "wrapper_int32_value": wrapper("Int32"),
        "wrapper_u_int64_value": wrapper("UInt64"),
        "wrapper_u_int32_value": wrapper("UInt32"),
        "wrapper_bool_value": wrapper("Bool"),
        "wrapper_string_value": wrapper("String"),
        "wrapper_bytes_value": wrapper("Bytes"),
        "map_value": "map<string,string>",
        "map_value2": "map<string,int32>",
        "map_value3": "map<int32,string>",
        "map_value4": "map<string,int64>",
        "map_value5": "map<int64,string>",
        "map_value6": "map<string,uint32>",
        "map_value7": "map<uint32,string>",
        "map_value8": "map<string,uint64>",
        "map_value9": "map<uint64,string>",
        "map_value10": "map<string,float>",
        "map_value12": "map<string,double>",
        "map_value14": "map<string,bool>",
        "map_value15": "map<bool,string>",
        "map_value16": f"map<string,{wrapper('UInt64')}>",
        "struct_value": "google.protobuf.Struct",
        "struct_value_value": "google.protobuf.Value",
        "nested": "Q",
        "oneof_bool_value": "oneof oneof_value bool",
        "oneof_string_value": "oneof oneof_value string",
        "nested_oneof_value_one": "oneof nested_oneof_value Q",
        "nested_oneof_int32_value": "oneof nested_oneof_value int32",
    }
    return Schema("q").enum("EnumValue", {"X": 0, "Y": 1, "Z": 2}).message("Q", fields).build()
