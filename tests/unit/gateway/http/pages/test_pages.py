"""Pages escape what they show, and forms prove where they come from."""

import pytest

from cohortlens.core.errors import InvalidArgument, PermissionDenied
from cohortlens.core.ids import SessionId, uuid7
from cohortlens.identity.sessions.refresh_tokens import RefreshToken
from gateway.http.headers import Head
from gateway.http.pages.forms import FORM_TOKEN, Fields, FormGuard, cookies, fields_of
from gateway.http.pages.renderer import message, render
from gateway.http.requests import Request

PLAIN, SECURE = "http://127.0.0.1:8080", "https://app.example"


def request(**headers):
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request("POST", "/x", "", Head.read(raw), "192.0.2.7")


def filled(token):
    return Fields([(FORM_TOKEN, token)])


def fresh(guard):
    """Token and cookie of a first visit."""
    visit = guard.visit(request(), None)
    line = dict(visit.headers)[b"set-cookie"].decode()
    return visit.form_token, line.partition(";")[0], line


def test_what_a_page_shows_is_escaped():
    answer = message("<b>", "<script>alert(1)</script>", reason='"><img>')
    assert b"<script>" not in answer.body
    assert b"<img>" not in answer.body
    assert b"&lt;script&gt;" in answer.body


def test_a_page_allows_its_own_style_and_nothing_else():
    policy = dict(message("a", "b").headers)[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self';" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_form_may_redirect_to_where_the_page_says():
    headers = dict(
        render("message.html", {"heading": "a", "text": "b", "reason": ""}, form_targets=["x.y:"]).headers
    )
    assert b"form-action 'self' x.y:;" in headers[b"content-security-policy"]


def test_a_cookie_of_a_secure_site_is_bound_to_its_host():
    line = fresh(FormGuard(b"k" * 32, SECURE))[2]
    assert line.startswith("__Host-cohortlens-form=")
    assert all(part in line for part in ("; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure"))
    assert "Secure" not in fresh(FormGuard(b"k" * 32, PLAIN))[2]


def test_a_form_of_our_page_is_taken():
    guard = FormGuard(b"k" * 32, SECURE)
    token, cookie, _ = fresh(guard)
    visit = guard.visit(request(cookie=cookie, origin=SECURE), filled(token))
    assert (visit.form_token, visit.headers) == (token, [])


@pytest.mark.parametrize(
    "origin", ["", "null", "https://evil.example", "http://app.example", "https://app.example.evil.example"]
)
def test_a_form_of_another_origin_is_refused(origin):
    guard = FormGuard(b"k" * 32, SECURE)
    token, cookie, _ = fresh(guard)
    with pytest.raises(PermissionDenied) as refused:
        guard.visit(request(cookie=cookie, origin=origin, host="app.example"), filled(token))
    assert refused.value.reason == "FORM_REFUSED"


def test_a_token_of_another_browser_or_key_is_refused():
    guard = FormGuard(b"k" * 32, SECURE)
    token, cookie, _ = fresh(guard)
    other, _, _ = fresh(guard)
    foreign = FormGuard(b"l" * 32, SECURE).visit(request(cookie=cookie), None).form_token
    for wrong in (other, foreign, "", token[:-1], "\u00fc"):
        with pytest.raises(PermissionDenied):
            guard.visit(request(cookie=cookie, origin=SECURE), filled(wrong))
    with pytest.raises(PermissionDenied):
        guard.visit(request(origin=SECURE), filled(token))


def test_without_tls_the_page_may_be_reached_by_another_name_of_the_machine():
    guard = FormGuard(b"k" * 32, PLAIN)
    token, cookie, _ = fresh(guard)
    guard.visit(request(cookie=cookie, origin="http://localhost:8080", host="localhost:8080"), filled(token))


def test_a_cookie_that_comes_twice_counts_as_none():
    assert cookies(Head.read([(b"cookie", b"a=1; b=2; a=3"), (b"cookie", b"c=4")])) == {"b": "2", "c": "4"}


def test_a_field_sent_twice_is_refused():
    fields = fields_of("a=1&a=2&b=%C3%BC+x")
    assert (fields.one("b"), fields.one("missing"), fields.many("a")) == ("\u00fc x", "", ("1", "2"))
    with pytest.raises(InvalidArgument):
        fields.one("a")


def test_a_browser_that_hides_its_origin_vouches_for_the_form_by_the_header_no_script_can_write():
    guard = FormGuard(b"k" * 32, SECURE)
    token, cookie, _ = fresh(guard)
    for origin in ({}, {"origin": "null"}):
        sent = {"cookie": cookie, "sec-fetch-site": "same-origin", **origin}
        assert guard.visit(request(**sent), filled(token)).form_token == token


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_form_that_the_browser_says_comes_from_elsewhere_is_refused_whatever_its_origin(site):
    guard = FormGuard(b"k" * 32, SECURE)
    token, cookie, _ = fresh(guard)
    for origin in (SECURE, "null"):
        with pytest.raises(PermissionDenied):
            guard.visit(
                request(**{"cookie": cookie, "origin": origin, "sec-fetch-site": site}), filled(token)
            )


def test_a_token_belongs_to_one_session():
    guard = FormGuard(b"k" * 32, PLAIN)
    _, cookie, _ = fresh(guard)
    refresh = [RefreshToken.make(SessionId(uuid7()), 1, b"s" * 32).text() for _ in range(2)]
    lines = [cookie, *(f"{cookie}; cohortlens-refresh={one}" for one in refresh)]
    tokens = [guard.visit(request(cookie=line), None).form_token for line in lines]
    assert len(set(tokens)) == 3
    for line in lines:
        for token in tokens:
            sent = request(cookie=line, origin=PLAIN, host="127.0.0.1:8080")
            if lines.index(line) == tokens.index(token):
                guard.visit(sent, filled(token))
            else:
                with pytest.raises(PermissionDenied):
                    guard.visit(sent, filled(token))


def test_a_renewed_token_of_the_same_session_keeps_the_forms_of_open_pages():
    guard = FormGuard(b"k" * 32, PLAIN)
    _, cookie, _ = fresh(guard)
    session = SessionId(uuid7())
    first, second = (RefreshToken.make(session, n, b"s" * 32).text() for n in (1, 2))
    token = guard.visit(request(cookie=f"{cookie}; cohortlens-refresh={first}"), None).form_token
    later = request(cookie=f"{cookie}; cohortlens-refresh={second}", origin=PLAIN, host="127.0.0.1:8080")
    assert guard.visit(later, filled(token)).form_token == token


def test_the_last_word_on_a_cookie_is_the_one_that_is_sent():
    visit = FormGuard(b"k" * 32, PLAIN).visit(request(cookie="cohortlens-access=old"), None)
    visit.set_cookie("access", "new", 600)
    visit.drop_cookie("access")
    sent = [value.decode() for name, value in visit.headers if b"cohortlens-access" in value]
    assert sent == ["cohortlens-access=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"]
    assert visit.cookie("access") == ""
