"""Generates ``docs/reference/calls``: for each method a call with curl, grpcurl, Python and TypeScript.

The requests are the examples of the protos, which the OpenAPI document shows too; a test sends those to a
running stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

from gateway.http.binding import HTTP_BODY
from gateway.http.comments import Comments
from gateway.http.operations import path_names, path_of
from gateway.http.routes import Route

_INTRO: Final = """
For HTTP the address is in `$URL` and a token in `$TOKEN`, for gRPC the target is in `$TARGET`;
`cohortlens status` and `cohortlens credentials --token` print them. Python uses the
[client](../../guides/client.md): `client` is a `CohortLens.sync(target, credentials)`. TypeScript needs
no more than `fetch`.
"""
_MASK: Final = "google.protobuf.FieldMask"
_PLACEHOLDER: Final = "0193b0a0-0000-7000-8000-000000000001"


def pages(routes: list[Route], comments: Comments) -> dict[str, str]:
    """Text of each page by its path, and of the page that lists them.

    Args:
        routes: The route table; the first rule of a method is the one shown.
        comments: Text and examples of the protos.
    """
    services: dict[str, dict[str, Route]] = {}
    for route in routes:
        services.setdefault(route.method.service, {}).setdefault(route.method.name, route)
    found = {}
    for service, methods in sorted(services.items()):
        name = service.rpartition(".")[2]
        lines = [f"# Calls of {name}", _INTRO]
        for route in methods.values():
            lines += _section(route, comments)
        found[f"docs/reference/calls/{name}.md"] = "\n".join(lines) + "\n"
    names = sorted(path.rpartition("/")[2].removesuffix(".md") for path in found)
    index = [
        "# Calls",
        "",
        "Each method of the API, called four ways.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
    ]
    return found | {"docs/reference/calls/index.md": "\n".join([*index, *names, "```"]) + "\n"}


def _section(route: Route, comments: Comments) -> Iterator[str]:
    method = route.method
    example = comments.of(method.descriptor.input_type.full_name).example or {}
    yield f"## {method.name}"
    yield f"\n{comments.of(method.descriptor.full_name).text}\n"
    if method.kind in {"unary", "server_stream"}:
        for language, text in (
            ("sh", _curl(route, example)),
            ("sh", _grpcurl(route, example)),
            ("python", _python(route, example)),
            ("ts", _typescript(route, example)),
        ):
            yield f"```{language}\n{text}\n```\n"
    elif route.upload is not None:
        yield f"```sh\n{_upload(route, example)}\n```\n"
    else:
        yield f"```sh\n{_grpcurl(route, example)}\n```\n"


def _target(route: Route, example: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Path with its query, and the body; None for none."""
    fields = route.method.descriptor.input_type.fields_by_name
    bound = {fields[name].json_name for name in path_names(route)}
    path = path_of(route)
    for name in path_names(route):
        value = str(example.get(fields[name].json_name, _PLACEHOLDER))
        path = path.replace(f"{{{name}}}", quote(value, safe=":@"))
    rest = {key: value for key, value in example.items() if key not in bound}
    if route.rule.body == "*":
        return path, rest
    body = None
    if route.rule.body:
        body = rest.pop(fields[route.rule.body].json_name, {})
    query = urlencode(list(_pairs(rest)))
    return f"{path}?{query}" if query else path, body


def _pairs(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            for one in value if isinstance(value, list) else [value]:
                yield f"{prefix}{key}", json.dumps(one) if isinstance(one, bool) else one


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False).replace("'", "'\\''")
    return f"'{text}'"


def _curl(route: Route, example: dict[str, Any]) -> str:
    path, body = _target(route, example)
    parts = ["curl -N" if route.method.server_streaming else "curl"]
    if route.rule.verb != "GET":
        parts.append(f"-X {route.rule.verb}")
    parts.append(f'"$URL{path}"')
    if not route.method.policy.public:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if body is not None:
        media = "application/x-www-form-urlencoded" if path.startswith("/oauth2/") else "application/json"
        sent = f"'{urlencode(body)}'" if path.startswith("/oauth2/") else _quoted(body)
        parts += [f"-H 'Content-Type: {media}'", f"-d {sent}"]
    return " \\\n  ".join(parts)


def _upload(route: Route, example: dict[str, Any]) -> str:
    options = {} if route.upload is None else example.get(route.upload.options, {})
    query = urlencode(list(_pairs(options)))
    path = path_of(route) + (f"?{query}" if query else "")
    return " \\\n  ".join(
        [
            f"curl -X {route.rule.verb}",
            f'"$URL{path}"',
            '-H "Authorization: Bearer $TOKEN"',
            "-H 'Content-Type: text/csv'",
            "--data-binary @file.csv",
        ]
    )


def _grpcurl(route: Route, example: dict[str, Any]) -> str:
    parts = ["grpcurl -plaintext"]
    if not route.method.policy.public:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    return " \\\n  ".join(
        [*parts, f"-d {_quoted(example)}", f'"$TARGET" {route.method.full_name.lstrip("/")}']
    )


def _python(route: Route, example: dict[str, Any]) -> str:
    method = route.method
    service = method.service.rpartition(".")[2].removesuffix("Service").lower()
    call = f"client.{service}.{_snake(method.name)}"
    descriptor = method.input_class.DESCRIPTOR
    request = f"v1.{descriptor.name}.from_dict({_python_value(_with_masks(descriptor, example))})"
    head = "from cohortlens.client import v1\n\n"
    if method.server_streaming:
        return f"{head}for message in {call}(\n    {request}\n):\n    print(message)"
    return f"{head}reply = {call}(\n    {request}\n)"


def _with_masks(descriptor: Any, example: dict[str, Any]) -> dict[str, Any]:
    """The example with its masks as messages: betterproto2 reads no comma lists."""
    messages = [one for one in descriptor.fields if one.message_type is not None]
    masks = {one.json_name for one in messages if one.message_type.full_name == _MASK}
    paths = {name: [_snake(path) for path in example[name].split(",")] for name in masks & example.keys()}
    return example | {name: {"paths": found} for name, found in paths.items()}


def _python_value(value: Any) -> str:
    return (
        repr(value).replace("'", '"')
        if "'" not in json.dumps(value) and '"' not in repr(value)
        else repr(value)
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _typescript(route: Route, example: dict[str, Any]) -> str:
    path, body = _target(route, example)
    options = [f'  method: "{route.rule.verb}",']
    headers = [] if route.method.policy.public else ["Authorization: `Bearer ${token}`"]
    form = path.startswith("/oauth2/")
    if body is not None and not form:
        headers.append('"Content-Type": "application/json"')
    if headers:
        options.append(f"  headers: {{ {', '.join(headers)} }},")
    if body is not None:
        text = json.dumps(body, ensure_ascii=False)
        options.append(f"  body: {'new URLSearchParams' if form else 'JSON.stringify'}({text}),")
    raw = route.method.descriptor.output_type.full_name == HTTP_BODY or route.method.server_streaming
    lines = [f"const answer = await fetch(`${{url}}{path}`, {{", *options, "});"]
    lines.append(f"const reply = await answer.{'text' if raw else 'json'}();")
    return "\n".join(lines)
