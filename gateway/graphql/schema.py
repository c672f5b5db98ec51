"""The schema, built at start from the table of methods and the comments of the protos."""

from __future__ import annotations

from typing import Any, Final

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    lexicographic_sort_schema,
    print_schema,
)

from gateway.graphql.calls import resolver, subscriber
from gateway.graphql.names import Root, field_name, root_of, served
from gateway.graphql.references import References
from gateway.graphql.types import Types
from gateway.http.comments import Comments
from gateway.registry import MethodInfo, MethodTable

_DESCRIPTIONS: Final = {
    Root.QUERY: "What changes nothing. Fields run side by side; each is one call.",
    Root.MUTATION: "What changes something. Fields run one after another; each is one call.",
    Root.SUBSCRIPTION: "What answers with a stream: one field, over server-sent events.",
}


def build_schema(table: MethodTable, comments: Comments) -> GraphQLSchema:
    """The schema of all methods that GraphQL can call.

    Args:
        table: The methods of the process; those of other protocols are left out.
        comments: Descriptions.

    Raises:
        ValueError: Two methods or two types would have one name.
    """
    types = Types(comments, References(table))
    roots: dict[Root, dict[str, GraphQLField]] = {root: {} for root in Root}
    for method in served(table):
        root, name = root_of(method), field_name(method)
        if name in roots[root]:
            raise ValueError(
                f"{root.value}.{name} would be two methods; name {method.full_name} in names.FIELDS"
            )
        roots[root][name] = _field(types, method, root, comments)
    made: dict[Root, Any] = {
        root: GraphQLObjectType(root.value, fields, description=_DESCRIPTIONS[root]) if fields else None
        for root, fields in roots.items()
    }
    return GraphQLSchema(
        query=made[Root.QUERY], mutation=made[Root.MUTATION], subscription=made[Root.SUBSCRIPTION]
    )


def sdl(schema: GraphQLSchema) -> str:
    """The schema as text, sorted by name: ``docs/reference/schema.graphql``."""
    return print_schema(lexicographic_sort_schema(schema)) + "\n"


def _field(types: Types, method: MethodInfo, root: Root, comments: Comments) -> GraphQLField:
    streams = root is Root.SUBSCRIPTION
    return GraphQLField(
        # May be null: a call that fails takes nothing from the others beside it.
        types.output(method.descriptor.output_type),
        types.arguments(method.descriptor.input_type),
        resolve=_message if streams else resolver(method),
        subscribe=subscriber(method) if streams else None,
        description=_description(method, comments),
        deprecation_reason=_deprecation(method),
    )


def _message(message: Any, *_: Any, **__: Any) -> Any:
    """A message of a stream is the value of its field."""
    return message


def _description(method: MethodInfo, comments: Comments) -> str:
    text = comments.of(method.descriptor.full_name).text
    policy = method.policy
    if policy.public:
        needs = "Needs no credential."
    elif policy.platform:
        needs = f"For the staff of the platform; needs {', '.join(policy.scopes)}."
    elif policy.scopes:
        needs = f"Needs {', '.join(policy.scopes)}."
    else:
        needs = "Needs a credential."
    return f"{text}\n\n{needs}" if text else needs


def _deprecation(method: MethodInfo) -> str | None:
    return "see its description" if method.descriptor.GetOptions().deprecated else None
