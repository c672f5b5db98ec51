"""Operations of the OpenAPI document: one for each HTTP rule of a method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from cohortlens.v1 import common_pb2
from gateway.http.binding import HTTP_BODY
from gateway.http.codec import is_map, is_repeated, message_type
from gateway.http.comments import Comments
from gateway.http.failures import failures_of, headers_named, takes_condition
from gateway.http.headers import FORM, JSON, NDJSON
from gateway.http.oauth import is_oauth
from gateway.http.routes import Route
from gateway.http.schemas import Schema, Schemas, rules_of
from gateway.http.streaming import EVENTS, RESUME_FIELD
from gateway.http.uploads import FILE_TYPES, MULTIPART
from gateway.interceptors.keyed import takes_key

_DEPRECATION: Any = common_pb2.deprecation
_BINARY: Final[Schema] = {"type": "string", "format": "binary"}
# Named by the reply itself; a caller asks for none.
_ANY_MEDIA: Final = "*/*"


def _header(name: str, description: str, **schema: Any) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


PARAMETERS: Final[dict[str, Schema]] = {
    "IdempotencyKey": _header(
        "Idempotency-Key",
        "Key of the request, as `requestId`: a repeat with the same key gets the same answer.",
        minLength=1,
        maxLength=255,
        pattern="^[ -~]+$",
    ),
    "IfMatch": _header(
        "If-Match",
        "Tag of the version that is to be changed, as a reply had it, or `*`; another one there is now: 412.",
    ),
    "IfNoneMatch": _header(
        "If-None-Match", "Tag of the reply that is there already; the same one is answered with 304 alone."
    ),
    "Prefer": _header(
        "Prefer",
        "`handling=lenient` drops fields and parameters that are not known; without it they are 400.",
    ),
    "LastEventId": _header(
        "Last-Event-ID", "Identifier of the last event that was read, to go on behind it; as `resumeToken`."
    ),
}
"""Headers of requests by the name of their component."""


class Operations:
    """Makes operations; the schemas they use are gathered in ``schemas``.

    Args:
        comments: Text of operations, parameters and schemas.
    """

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self._names: set[str] = set()
        self.schemas = Schemas(comments)

    def of(self, route: Route) -> dict[str, Any]:
        """The operation of a route."""
        method = route.method
        comment = self._comments.of(method.descriptor.full_name)
        operation: dict[str, Any] = {
            "operationId": self._name(route),
            "tags": [method.service.rpartition(".")[2]],
            "summary": comment.summary,
            "description": comment.text,
            **_policy(route),
            "parameters": [*self._parameters(route), *_headers(route)],
        }
        if route.rule.body and method.kind != "bidi_stream":
            operation["requestBody"] = self._body(route)
        operation["responses"] = self._responses(route)
        return operation

    def _name(self, route: Route) -> str:
        """The method's name; further rules of a method are numbered from 2."""
        method = route.method
        name = first = f"{method.service.rpartition('.')[2]}_{method.name}"
        number = 1
        while name in self._names:
            number += 1
            name = f"{first}_{number}"
        self._names.add(name)
        return name

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        descriptor: Any = route.method.descriptor.input_type
        example = self._comments.of(descriptor.full_name).example or {}
        found = []
        for name in path_names(route):
            field = descriptor.fields_by_name[name]
            parameter = self._parameter(field, "path", example)
            # A segment of a path is never empty.
            parameter["schema"].setdefault("minLength", 1)
            found.append({**parameter, "name": name, "required": True})
        if route.upload is not None:
            options = message_type(descriptor.fields_by_name[route.upload.options])
            sent = example.get(descriptor.fields_by_name[route.upload.options].json_name, {})
            found += [self._parameter(field, "query", sent) for field in options.fields]
        elif route.rule.body != "*":
            bound = {*path_names(route), route.rule.body}
            found += [
                self._parameter(field, "query", example)
                for field in descriptor.fields
                if field.name not in bound
            ]
        return found

    def _parameter(self, field: FieldDescriptor, where: str, example: dict[str, Any]) -> dict[str, Any]:
        schema = self.schemas.field(field)
        parameter: dict[str, Any] = {
            "name": field.json_name,
            "in": where,
            "description": schema.pop("description", ""),
            "schema": schema,
        }
        if where == "query" and rules_of(field).required:
            parameter["required"] = True
        if is_map(field):
            parameter |= {"style": "deepObject", "explode": True}
        elif is_repeated(field):
            parameter |= {"style": "form", "explode": True}
        if field.json_name in example:
            parameter["example"] = example[field.json_name]
        return parameter

    def _body(self, route: Route) -> dict[str, Any]:
        descriptor: Any = route.method.descriptor.input_type
        if route.upload is not None:
            return _file_body()
        example = self._comments.of(descriptor.full_name).example or {}
        bound = set(path_names(route))
        if is_oauth(route.rule.template.text):
            # RFC 6749 3.2: unknown parameters of a form are left out.
            form = self.schemas.message(descriptor) | {"additionalProperties": True}
            return {"required": True, "content": {FORM: {"schema": form, "example": example}}}
        if route.rule.body != "*" and _is_raw(descriptor.fields_by_name[route.rule.body]):
            return {"required": True, "content": {_ANY_MEDIA: {"schema": _BINARY}}}
        schema, shown = self._bound(route, descriptor, bound, example)
        media = NDJSON if route.method.client_streaming else JSON
        needs = route.rule.body == "*" and self.schemas.required(descriptor, bound)
        return {
            "required": bool(needs) or route.method.client_streaming,
            "content": {media: {"schema": schema, "example": shown}},
        }

    def _bound(
        self, route: Route, descriptor: Any, bound: set[str], example: dict[str, Any]
    ) -> tuple[Schema, Any]:
        """The schema of a body and its example: one field, or all that the path does not hold."""
        if route.rule.body != "*":
            field = descriptor.fields_by_name[route.rule.body]
            return self.schemas.field(field), example.get(field.json_name)
        hidden = {descriptor.fields_by_name[name].json_name for name in bound}
        shown = {key: value for key, value in example.items() if key not in hidden}
        if bound:
            return self.schemas.message(descriptor, bound), shown
        return self.schemas.reference(descriptor), shown

    def _responses(self, route: Route) -> dict[str, Any]:
        output: Any = route.method.descriptor.output_type
        if route.method.kind == "bidi_stream":
            return failures_of(route)
        answer: dict[str, Any] = {"description": "The bytes themselves; Content-Type says what they are."}
        if output.full_name == HTTP_BODY:
            content: dict[str, Any] = {_ANY_MEDIA: {"schema": _BINARY}}
        else:
            comment = self._comments.of(output.full_name)
            answer["description"] = comment.text or "OK"
            content = self._content(route, output, comment.example)
        names = ["X-Request-Id"]
        more = {}
        if _is_tagged(route):
            names.append("ETag")
            more["304"] = {
                "description": "The caller has this reply already.",
                "headers": headers_named(*names),
            }
        answer |= {"headers": headers_named(*names), "content": content}
        return {"200": answer, **more, **failures_of(route)}

    def _content(self, route: Route, output: Any, example: Any) -> dict[str, Any]:
        field = route.rule.response_body
        if field:
            shown = output.fields_by_name[field]
            example = (example or {}).get(shown.json_name)
            schema = self.schemas.field(shown)
        else:
            schema = self.schemas.reference(output)
        media: dict[str, Any] = {"schema": schema}
        if example is not None:
            media["example"] = example
        return _streamed(schema, example) if route.method.server_streaming else {JSON: media}


def _streamed(schema: Schema, example: Any) -> dict[str, Any]:
    """A stream in each of its framings: lines, one array, server-sent events."""
    line = {
        "type": "object",
        "description": "One line. A stream that fails ends with a line that holds error.",
        "properties": {"result": schema, "error": {"$ref": "#/components/schemas/Status"}},
    }
    events = {
        "type": "string",
        "description": "Server-sent events: `message` with one message as data and the token to go on as id, "
        "then `end`, `error` or `bye`; comments each 15 s.",
    }
    return {
        NDJSON: {"schema": line, "example": {"result": example}},
        JSON: {"schema": {"type": "array", "items": schema}, "example": [example]},
        EVENTS: {"schema": events},
    }


def _policy(route: Route) -> dict[str, Any]:
    """Who may call a method, and what a call weighs."""
    policy = route.method.policy
    found: dict[str, Any] = {}
    if policy.public:
        found["security"] = [{}, {"client": []}] if _knows_clients(route) else []
    else:
        found["security"] = [{"bearer": []}, {"oauth2": sorted(policy.scopes)}]
    options = route.method.descriptor.GetOptions()
    if options.deprecated:
        found["deprecated"] = True
        found["x-cohortlens-removed"] = options.Extensions[_DEPRECATION].removed
    found["x-cohortlens-rate-class"] = policy.rate_class.name.lower()
    if policy.scopes:
        found["x-cohortlens-scopes"] = list(policy.scopes)
    if policy.meter:
        found |= {"x-cohortlens-meter": policy.meter, "x-cohortlens-cost": policy.cost}
    if policy.activity:
        found["x-cohortlens-activity"] = policy.activity
    if policy.feature:
        found["x-cohortlens-feature"] = policy.feature
    return found


def _knows_clients(route: Route) -> bool:
    """Whether a client of OAuth 2 can prove itself: the endpoints, not the documents."""
    return bool(route.rule.body) and is_oauth(route.rule.template.text)


def _headers(route: Route) -> list[dict[str, Any]]:
    if is_oauth(route.rule.template.text):
        names = [] if route.rule.body else ["IfNoneMatch"]
    else:
        names = ["Prefer"]
        names += ["IdempotencyKey"] if takes_key(route.method) else []
        names += ["IfMatch"] if takes_condition(route) else []
        names += ["IfNoneMatch"] if _is_tagged(route) else []
        resumes = RESUME_FIELD in route.method.descriptor.input_type.fields_by_name
        names += ["LastEventId"] if resumes and route.method.server_streaming else []
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _is_tagged(route: Route) -> bool:
    """Whether the reply has an entity tag."""
    return route.rule.verb == "GET" and not route.method.server_streaming and not route.sensitive


def _is_raw(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == HTTP_BODY


def _file_body() -> dict[str, Any]:
    form = {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}
    content = {media: {"schema": _BINARY} for media in sorted(FILE_TYPES)} | {MULTIPART: {"schema": form}}
    text = (
        "The file itself, at most 1 GiB; gzip as Content-Encoding is inflated. Options are query parameters."
    )
    return {"required": True, "description": text, "content": content}


def path_of(route: Route) -> str:
    """The template with plain ``{name}`` variables, as OpenAPI writes paths."""
    template = route.rule.template
    segments: list[str] = list(template.segments)
    for variable in template.variables:
        segments[variable.start : variable.end] = [f"{{{'.'.join(variable.field_path)}}}"]
    return "/" + "/".join(segments) + (f":{template.verb}" if template.verb else "")


def path_names(route: Route) -> Iterable[str]:
    """Fields that the path holds."""
    return [variable.field_path[0] for variable in route.rule.template.variables]
