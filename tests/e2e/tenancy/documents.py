"""A request as the GraphQL document of its one field: arguments in variables, every plain field of the answer."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from graphql import GraphQLSchema, get_named_type, get_nullable_type, is_leaf_type, is_list_type

from gateway.composition import public_table
from gateway.graphql.names import field_name, root_of
from gateway.graphql.references import REFERENCES
from gateway.graphql.schema import build_schema
from gateway.http.comments import Comments
from gateway.registry import MethodTable

_LEVELS = 3
_FOLLOWED = {one.details for one in REFERENCES}


@cache
def _served() -> tuple[MethodTable, GraphQLSchema]:
    table = public_table(with_reflection=False)
    return table, build_schema(table, Comments.load())


def document_of(method: MethodDescriptor, request: Any) -> dict[str, Any]:
    """The body of a request to ``/graphql`` that calls a method.

    Raises:
        KeyError: The schema has no field for the method.
    """
    table, schema = _served()
    info = table.get(f"/{method.containing_service.full_name}/{method.name}")
    assert info is not None
    root, name = root_of(info), field_name(info)
    field = schema.type_map[root.value].fields[name]
    variables = json_format.MessageToDict(request)
    asked = ", ".join(f"${one}: {field.args[one].type}" for one in variables)
    given = ", ".join(f"{one}: ${one}" for one in variables)
    asked, given = (f"({one})" if one else "" for one in (asked, given))
    selection = _selection(get_named_type(field.type), _LEVELS, in_list=False)
    return {"query": f"{root.value.lower()}{asked} {{ {name}{given} {selection} }}", "variables": variables}


def _selection(kind: Any, levels: int, *, in_list: bool) -> str:
    """The fields of a type: of lists inside lists only those of values, which keeps documents cheap."""
    chosen = []
    for name, field in kind.fields.items():
        inner, is_list = get_named_type(field.type), is_list_type(get_nullable_type(field.type))
        if is_leaf_type(inner):
            chosen.append(name)
        elif levels > 1 and name not in _FOLLOWED and not (in_list and is_list):
            chosen.append(f"{name} {_selection(inner, levels - 1, in_list=in_list or is_list)}")
    return f"{{ {' '.join(chosen or ['__typename'])} }}"
