"""Comments of the protos, read from the descriptor image: the text of the API reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2

_EXAMPLE = re.compile(r"(?:^|\n)\s*Example: (\{.*\})\s*$")


@dataclass(frozen=True)
class Comment:
    """What is written above a declaration.

    Attributes:
        text: The prose, lines joined.
        example: The value of its ``Example:`` line; None without one.
    """

    text: str = ""
    example: Any = None

    @property
    def summary(self) -> str:
        """The first sentence, without its full stop."""
        return re.split(r"(?<=[a-z0-9)`])\.\s|\.$", self.text, maxsplit=1)[0]


class Comments:
    """Comments by full name of what they describe."""

    def __init__(self, image: descriptor_pb2.FileDescriptorSet) -> None:
        self._found: dict[str, Comment] = {}
        for file in image.file:
            names = dict(_names(file))
            for location in file.source_code_info.location:
                name = names.get(tuple(location.path))
                if name is not None and location.leading_comments:
                    self._found[name] = _comment(location.leading_comments)

    @classmethod
    def load(cls) -> Comments:
        """The comments of the image that ships with the package."""
        data = files("cohortlens").joinpath("descriptors.binpb").read_bytes()
        return cls(descriptor_pb2.FileDescriptorSet.FromString(data))

    def of(self, full_name: str) -> Comment:
        """The comment of a declaration; an empty one when it has none."""
        return self._found.get(full_name, Comment())


def _comment(text: str) -> Comment:
    match = _EXAMPLE.search(text.rstrip())
    example = json.loads(match[1]) if match else None
    prose = text[: match.start()] if match else text
    paragraphs = re.split(r"\n\s*\n", prose)
    return Comment("\n\n".join(" ".join(part.split()) for part in paragraphs if part.strip()), example)


def _names(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, message in enumerate(file.message_type):
        yield from _message_names(message, (4, index), file.package)
    for index, enum in enumerate(file.enum_type):
        yield from _enum_names(enum, (5, index), file.package)
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (6, index), name
        for position, method in enumerate(service.method):
            yield (6, index, 2, position), f"{name}.{method.name}"


def _message_names(
    message: descriptor_pb2.DescriptorProto, path: tuple[int, ...], scope: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{message.name}"
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, 2, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message_names(nested, (*path, 3, index), name)
    for index, enum in enumerate(message.enum_type):
        yield from _enum_names(enum, (*path, 4, index), name)
    for index, oneof in enumerate(message.oneof_decl):
        yield (*path, 8, index), f"{name}.{oneof.name}"


def _enum_names(
    enum: descriptor_pb2.EnumDescriptorProto, path: tuple[int, ...], scope: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, f"{scope}.{enum.name}"
    for index, value in enumerate(enum.value):
        yield (*path, 2, index), f"{scope}.{enum.name}.{value.name}"
