"""What the JSON mapping accepts beyond what the document asks for, told to schemathesis.

The document says how a request is best written: one form of each value. The mapping (proto3 JSON, vectors in
``tests/vectors/transcoding``) also takes whole numbers as text, 64-bit numbers as numbers, enums by number,
and null for what is not sent. Without this, each of these would count as bad data that was accepted.
Replies are held to the document as it stands.
"""

from typing import Any

_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_PREFIX = "#/components/schemas/"
_SENT = "Sent"
_METHOD = "x-cohortlens-rate-class"
"""What only operations of methods of the API have: the mapping is theirs."""
_JSON = {"application/json", "application/x-ndjson"}


def widen(document: dict[str, Any]) -> None:
    """Widen the requests of a document in place."""
    schemas = document["components"]["schemas"]
    widening = _Widening(schemas)
    for item in document["paths"].values():
        for operation in item.values():
            if _METHOD not in operation:
                continue
            for parameter in operation.get("parameters", []):
                if "schema" in parameter:
                    parameter["schema"] = widening.of(parameter["schema"])
            content = operation.get("requestBody", {}).get("content", {})
            for media in _JSON & content.keys():
                content[media]["schema"] = widening.of(content[media]["schema"])
    schemas.update(widening.made)


class _Widening:
    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas
        self.made: dict[str, Any] = {}

    def of(self, schema: dict[str, Any]) -> dict[str, Any]:
        """What the mapping accepts for a schema."""
        if "$ref" in schema:
            return self._referred(schema)
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return schema | {"items": self.of(schema["items"])}
        if kind in {"integer", "number"} or schema.get("format") in {"int64", "uint64"}:
            return {"anyOf": [schema, {"type": "number" if kind == "number" else "integer"}, _text(schema)]}
        return schema

    def _referred(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = schema["$ref"].removeprefix(_PREFIX)
        target = self._schemas[name]
        if "enum" in target:
            first = 1 if "not" in schema else 0
            numbers = {"type": "integer", "minimum": first, "maximum": len(target["enum"]) - 1}
            return {"anyOf": [schema, numbers]}
        if name + _SENT not in self.made:
            self.made[name + _SENT] = {}
            self.made[name + _SENT] = self.of(target)
        return schema | {"$ref": _PREFIX + name + _SENT}

    def _object(self, schema: dict[str, Any]) -> dict[str, Any]:
        required = schema.get("required", [])
        properties = {
            name: self.of(one) if name in required else {"anyOf": [self.of(one), {"type": "null"}]}
            for name, one in schema.get("properties", {}).items()
        }
        return schema | ({"properties": properties} if properties else {})


def _text(schema: dict[str, Any]) -> dict[str, Any]:
    """A number as text; zero where zero is not refused."""
    return {"type": "string", "pattern": _NUMBER}
