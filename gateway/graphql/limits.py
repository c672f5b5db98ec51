"""What a document may cost: depth, aliases, root fields, objects answered. Measured before anything runs.

A fragment is measured once for each place it means something else, so that fragments inside fragments, which
can stand for more fields than there are atoms, cost no more to measure than they are long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_object_type,
    value_from_ast_untyped,
)

from gateway.graphql.faults import limit

MAX_SOURCE_BYTES: Final = 64 * 1024
MAX_TOKENS: Final = 1000
MAX_DEPTH: Final = 10
MAX_ALIASES: Final = 15
MAX_ROOT_FIELDS: Final = 10
MAX_COST: Final = 1000
MAX_VALUES: Final = 10_000
"""Values in the variables: each is looked at three times before anybody knows who sent it."""
MAX_SELECTION: Final = 100
"""Fields written beside one another: each is compared with each, and no type has as many."""
MAX_PAIRS: Final = 10_000
"""Pairs of fields with one name: each is compared with each, which takes some microseconds."""
PAGE_ITEMS: Final = 50
"""Items a list of a reply is taken to have when its request names no page size."""
NESTED_ITEMS: Final = 10
"""Items a list inside an item is taken to have."""

_BESIDE: Final = "fields beside one another"
_PAGE_SIZE: Final = "pageSize"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a selection holds.

    Attributes:
        depth: Levels of fields.
        aliases: Fields with an alias.
        cost: Objects it can answer.
    """

    depth: int = 0
    aliases: int = 0
    cost: int = 0

    def beside(self, other: Measure) -> Measure:
        """Both selections side by side."""
        depth = max(self.depth, other.depth)
        return Measure(depth, self.aliases + other.aliases, self.cost + other.cost)


def check(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
) -> None:
    """Raise Refused (GRAPHQL_LIMIT_EXCEEDED) for an operation beyond a limit.

    Args:
        schema: The schema; the document is valid by it.
        operation: What is to be run.
        fragments: The fragments of the document by name.
        variables: Values of the variables.
    """
    root = schema.get_root_type(operation.operation)
    assert root is not None
    known = {
        one.variable.name.value: value_from_ast_untyped(one.default_value)
        for one in operation.variable_definitions or ()
        if one.default_value is not None
    } | dict(variables)
    found = _Meter(fragments, known).root(operation.selection_set, root)
    for what, is_, most in (
        ("levels of fields", found.depth, MAX_DEPTH),
        ("aliases", found.aliases, MAX_ALIASES),
        ("objects, as page sizes and lists multiply", found.cost, MAX_COST),
    ):
        if is_ > most:
            raise limit(what, most, found=str(is_))


def check_values(variables: Mapping[str, Any]) -> None:
    """Raise Refused (GRAPHQL_LIMIT_EXCEEDED) for more values than can be looked at quickly.

    Args:
        variables: JSON values by name of variable.
    """
    left: list[Any] = [variables]
    found = 0
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            inside = list(one.values())
        elif isinstance(one, list):
            inside = one
        else:
            continue
        found += len(inside)
        if found > MAX_VALUES:
            raise limit("values in the variables", MAX_VALUES)
        left += inside


def check_form(document: DocumentNode) -> None:
    """Raise Refused (GRAPHQL_LIMIT_EXCEEDED) for a document that would take long to be checked by the schema.

    Checking compares fields with one another, so a document is first counted as it is written.
    """
    names, aliases = Counter[str](), 0
    for field in _fields_written(document):
        aliases += field.alias is not None
        names[(field.alias or field.name).value] += 1
    if aliases > MAX_ALIASES:
        raise limit("aliases", MAX_ALIASES, found=str(aliases))
    if sum(count * (count - 1) // 2 for count in names.values()) > MAX_PAIRS:
        raise limit("pairs of fields with one name", MAX_PAIRS)


def _fields_written(document: DocumentNode) -> Iterator[FieldNode]:
    """The fields as they stand in a document; raises Refused where too many stand beside one another."""
    # Each selection with the most fields it may have: the first of an operation are root fields.
    left: list[tuple[SelectionSetNode, int, str]] = []
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            left.append((one.selection_set, MAX_ROOT_FIELDS, "root fields"))
        elif isinstance(one, FragmentDefinitionNode):
            left.append((one.selection_set, MAX_SELECTION, _BESIDE))
    while left:
        selections, most, what = left.pop()
        if len(selections.selections) > most:
            raise limit(what, most)
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                yield selection
            inner = getattr(selection, "selection_set", None)
            if inner is not None:
                left.append((inner, MAX_SELECTION, _BESIDE))


class _Meter:
    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]) -> None:
        self._fragments, self._variables = fragments, variables
        self._known: dict[tuple[str, int], Measure] = {}

    def root(self, selections: SelectionSetNode, root: GraphQLObjectType) -> Measure:
        """The measure of a whole operation."""
        total = Measure()
        for count, field in enumerate(self._fields(selections, set())):
            if count == MAX_ROOT_FIELDS:
                raise limit("root fields", MAX_ROOT_FIELDS)
            if not field.name.value.startswith("__"):
                total = total.beside(self._field(field, root, self._items(field, root)))
        return total

    def _fields(self, selections: SelectionSetNode, inside: set[str]) -> Iterator[FieldNode]:
        """The fields of the root, as they stand in fragments too."""
        for one in selections.selections:
            if isinstance(one, FieldNode):
                yield one
            elif isinstance(one, FragmentSpreadNode):
                name = one.name.value
                # The executor visits a fragment once in each selection; so does this.
                if name not in inside:
                    inside.add(name)
                    yield from self._fields(self._fragments[name].selection_set, inside)
            else:
                yield from self._fields(one.selection_set, inside)  # type: ignore[attr-defined]

    def _field(self, field: FieldNode, parent: GraphQLObjectType, items: int) -> Measure:
        """One field with all inside it; ``items`` is what a list directly in it counts for."""
        aliases = 1 if field.alias is not None else 0
        if field.selection_set is None or field.name.value not in parent.fields:
            return Measure(1, aliases, 0)
        declared = parent.fields[field.name.value].type
        inner = get_named_type(declared)
        assert is_object_type(inner)
        found = self._selection(field.selection_set, inner, items)
        return Measure(found.depth + 1, found.aliases + aliases, found.cost)

    def _selection(self, selections: SelectionSetNode, parent: Any, items: int) -> Measure:
        total = Measure()
        for one in selections.selections:
            if isinstance(one, FieldNode):
                total = total.beside(self._below(one, parent, items))
            elif isinstance(one, FragmentSpreadNode):
                total = total.beside(self._fragment(one.name.value, parent, items))
            else:
                inner = one.selection_set  # type: ignore[attr-defined]
                total = total.beside(self._selection(inner, parent, items))
        return total

    def _below(self, field: FieldNode, parent: GraphQLObjectType, items: int) -> Measure:
        """A field below the root: its objects count, those of a list as many times as it has items."""
        found = self._field(field, parent, NESTED_ITEMS)
        if field.selection_set is None or field.name.value not in parent.fields:
            return found
        is_list = is_list_type(get_nullable_type(parent.fields[field.name.value].type))
        return Measure(found.depth, found.aliases, (items if is_list else 1) * (1 + found.cost))

    def _fragment(self, name: str, parent: Any, items: int) -> Measure:
        known = self._known.get((name, items))
        if known is None:
            known = self._selection(self._fragments[name].selection_set, parent, items)
            self._known[name, items] = known
        return known

    def _items(self, field: FieldNode, root: GraphQLObjectType) -> int:
        """Items of a list in the reply of a root field: the page size asked for, or as many as are named."""
        declared = root.fields.get(field.name.value)
        if declared is None:
            return PAGE_ITEMS
        given = {
            one.name.value: value_from_ast_untyped(one.value, dict(self._variables))
            for one in field.arguments or ()
        }
        if _PAGE_SIZE in declared.args:
            size = given.get(_PAGE_SIZE)
            # A number such as 50.0 is an Int in a variable.
            return int(size) if isinstance(size, int | float) and size > 0 else PAGE_ITEMS
        return max([PAGE_ITEMS, *(len(value) for value in given.values() if isinstance(value, list))])
