"""Documents: parsed, checked against the schema, one operation chosen; those seen lately are kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    is_input_type,
    is_non_null_type,
    parse,
    type_from_ast,
    validate,
)
from graphql.utilities import validate_input_value
from graphql.validation import MaxIntrospectionDepthRule, ValuesOfCorrectTypeRule, specified_rules

from gateway.graphql import limits
from gateway.graphql.faults import INVALID, SYNTAX, Refused, invalid, limit, wrong_variables

# A document of a thousand tokens takes half a megabyte.
_KEPT: Final = 64
_KEPT_BYTES: Final = 8 * 1024
# Each error may look through all names of the schema for one that is alike.
_ERRORS_MAX: Final = 10
# A longer document may take tens of milliseconds, in which the loop must go on.
_LONG: Final = 2048
_ECHOES: Final = (", found", " found:", ", but ", ": ", ". Did you")
_GAVE_UP: Final = "Parsing aborted"


class _FittingValues(ValuesOfCorrectTypeRule):
    """The rule about values, without the values in its messages: one may be a secret."""

    def report_error(self, error: GraphQLError) -> None:
        """Pass a fault on by its place alone."""
        super().report_error(GraphQLError(_without_value(error.message), error.nodes))


_RULES: Final = [
    *(_FittingValues if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules),
    MaxIntrospectionDepthRule,
]


@dataclass(frozen=True, slots=True)
class Operation:
    """What is to be run.

    Attributes:
        document: The document, valid by the schema.
        definition: The operation chosen.
        fragments: The fragments by name.
    """

    document: DocumentNode
    definition: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]


class Documents:
    """Reads documents.

    Args:
        schema: What they are checked against.
        hides: Whether messages keep names of the schema to themselves that the document does not hold.
    """

    def __init__(self, schema: GraphQLSchema, *, hides: bool) -> None:
        self._schema, self._hides = schema, hides
        self._kept: OrderedDict[str, DocumentNode] = OrderedDict()

    async def read(self, source: str, name: str | None) -> Operation:
        """The operation that a request asks for.

        Args:
            source: Text of the document.
            name: Name of the operation; None when the document has only one.

        Raises:
            Refused: GRAPHQL_SYNTAX_INVALID, GRAPHQL_DOCUMENT_INVALID, GRAPHQL_LIMIT_EXCEEDED.
        """
        document = self._kept.get(source)
        if document is None:
            if len(source) > _LONG:
                document = await asyncio.to_thread(self._checked, source)
            else:
                document = self._checked(source)
            if len(source) <= _KEPT_BYTES:
                self._kept[source] = document
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        elif source in self._kept:
            self._kept.move_to_end(source)
        return _chosen(document, name)

    def check_variables(self, operation: Operation, variables: dict[str, Any]) -> None:
        """Raise Refused for values that do not fit the types the document declares; it names no value."""
        limits.check_values(variables)
        found: list[tuple[str, str]] = []
        declared = set()
        for one in operation.definition.variable_definitions or ():
            name = one.variable.name.value
            declared.add(name)
            type_ = type_from_ast(self._schema, one.type)
            assert is_input_type(type_)
            if name in variables:
                _compare(variables[name], type_, f"${name}", found)
            elif is_non_null_type(type_) and one.default_value is None:
                found.append((f"${name}", "is required"))
        unknown = [name for name in variables if name not in declared]
        if unknown:
            found.append((f"${unknown[0][:64]}", "the operation declares no such variable"))
        if found:
            raise wrong_variables(found[:_ERRORS_MAX])

    def check_cost(self, operation: Operation, variables: dict[str, Any]) -> None:
        """Raise Refused (GRAPHQL_LIMIT_EXCEEDED) for an operation that could answer too much."""
        limits.check(self._schema, operation.definition, operation.fragments, variables)

    def _checked(self, source: str) -> DocumentNode:
        document = _parsed(source)
        limits.check_form(document)
        try:
            errors = validate(
                self._schema, document, _RULES, max_errors=_ERRORS_MAX, hide_suggestions=self._hides
            )
        except RecursionError:
            raise limit("levels of fields", limits.MAX_DEPTH) from None
        if errors:
            raise invalid(errors[:_ERRORS_MAX])
        return document


def _parsed(source: str) -> DocumentNode:
    if len(source.encode("utf-8", "replace")) > limits.MAX_SOURCE_BYTES:
        raise limit("bytes of document", limits.MAX_SOURCE_BYTES)
    try:
        return parse(
            source,
            max_lexical_tokens=limits.MAX_TOKENS,
            max_comments=limits.MAX_TOKENS,
            allow_empty_selection_sets=False,
        )
    except RecursionError:
        raise limit("levels of fields", limits.MAX_DEPTH) from None
    except GraphQLSyntaxError as error:
        if _GAVE_UP in error.description:
            raise limit("tokens, or nested too deeply", limits.MAX_TOKENS) from None
        at = "".join(f" at line {one.line}, column {one.column}" for one in (error.locations or [])[:1])
        message = f"the document is not GraphQL{at}"
        shown = GraphQLError(message, source=error.source, positions=error.positions)
        raise Refused(message, SYNTAX, (shown,)) from None


def _chosen(document: DocumentNode, name: str | None) -> Operation:
    operations: list[OperationDefinitionNode] = []
    fragments: dict[str, FragmentDefinitionNode] = {}
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            operations.append(one)
        elif isinstance(one, FragmentDefinitionNode):
            fragments[one.name.value] = one
    if name is not None:
        operations = [one for one in operations if one.name is not None and one.name.value == name]
    if len(operations) != 1:
        text = "name one operation of the document in operationName"
        raise Refused(text, INVALID)
    return Operation(document, operations[0], fragments)


def _compare(value: Any, type_: GraphQLInputType, name: str, found: list[tuple[str, str]]) -> None:
    def note(error: GraphQLError, path: list[str | int]) -> None:
        inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        found.append((f"{name}{inner}", _without_value(error.message)))

    validate_input_value(value, type_, note, hide_suggestions=True)


def _without_value(message: str) -> str:
    """A message of the library up to where it would repeat the value."""
    for echo in _ECHOES:
        message = message.partition(echo)[0]
    if not message.startswith(("Expected ", "Int ", "Float ", "String ", "Boolean ", "ID ")):
        return "the value does not fit its type"
    return message.rstrip(".")
