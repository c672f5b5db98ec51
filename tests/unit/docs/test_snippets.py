"""The calls shown in the reference are calls: their requests reach the method they stand for."""

import inspect
import re
import shlex
from functools import cache

from cohortlens.client import v1
from cohortlens.client._generated import blocking_services
from docs.generate import GENERATED
from docs.snippets import pages
from gateway.composition import public_table
from gateway.http.binding import RawRequest
from gateway.http.comments import Comments
from gateway.http.routes import build_routes

_BLOCK = re.compile(r"^## (\w+)$|^```(\w+)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


@cache
def _routes():
    return build_routes(public_table(with_reflection=False))


@cache
def _snippets():
    """Service, method, language and text of each snippet."""
    found = []
    for path, text in pages(_routes().routes, Comments.load()).items():
        method = ""
        for heading, language, snippet in _BLOCK.findall(text):
            method = heading or method
            if snippet and not path.endswith("index.md"):
                found.append((path.rpartition("/")[2].removesuffix(".md"), method, language, snippet))
    return found


def test_every_service_has_its_page_and_every_method_its_calls():
    made = pages(_routes().routes, Comments.load())
    assert set(made) <= set(GENERATED)
    methods = {(route.method.service.rpartition(".")[2], route.method.name) for route in _routes().routes}
    assert {(service, method) for service, method, _, _ in _snippets()} == methods
    for route in _routes().routes:
        if route.method.kind in {"unary", "server_stream"}:
            name = (route.method.service.rpartition(".")[2], route.method.name)
            assert [one[2] for one in _snippets() if one[:2] == name] == ["sh", "sh", "python", "ts"], name


def test_every_curl_call_is_matched_and_read_by_the_method_it_stands_for():
    tried = 0
    for service, method, language, text in _snippets():
        if language != "sh" or not text.startswith("curl") or "--data-binary" in text or "/oauth2/" in text:
            continue
        words = [word for word in shlex.split(text.replace("\\\n", " ")) if word != "-N"]
        verb = words[words.index("-X") + 1] if "-X" in words else "GET"
        path, _, query = next(word for word in words if word.startswith("$URL"))[4:].partition("?")
        body = words[words.index("-d") + 1].encode() if "-d" in words else b""
        match = _routes().router.match(verb, path)
        assert match is not None, text
        assert (match.target.method.service.rpartition(".")[2], match.target.method.name) == (service, method)
        content_type = "application/json" if body else ""
        match.target.binding.decode(RawRequest(match.values, query, body, content_type))
        tried += 1
    assert tried > 150


def test_every_python_call_names_a_method_of_the_client_and_makes_its_request():
    tried, attributes = 0, inspect.getsource(blocking_services.Services)
    for service, _, language, text in _snippets():
        if language != "python":
            continue
        attribute, method, request = re.search(r"client\.(\w+)\.(\w+)\(\n    (.*)\n\)", text).groups()
        assert hasattr(getattr(blocking_services, service), method), text
        eval(request, {"v1": v1})
        assert f"self.{attribute} = {service}(" in attributes
        tried += 1
    assert tried > 150
