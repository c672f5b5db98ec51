"""A browser without a window: keeps cookies, fills in the forms of our pages, stops where a client takes over."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

_FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


class Browser:
    """One person's browser at one server.

    Args:
        site: Address of the server.
    """

    def __init__(self, site: str) -> None:
        self.site = site
        self.http = httpx.Client(timeout=30)
        self.page: httpx.Response | None = None

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def visit(self, address: str) -> httpx.Response:
        """Open an address; follows redirects that stay on the server."""
        return self._settled(self.http.get(address))

    def press(self, act: str, *, tenant: str | None = None, scopes=None, **fields: str) -> httpx.Response:
        """Press a button of the page that is open, with the page's own hidden fields."""
        assert self.page is not None
        form = next(one for one in self.page.text.split("<form")[1:] if f'value="{act}"' in one)
        sent = {html.unescape(k): html.unescape(v) for k, v in _FIELD.findall(form)}
        offered = [html.unescape(one) for one in re.findall(r'name="scope" value="([^"]*)"', form)]
        sent |= {"act": act, **fields} | ({} if tenant is None else {"tenant": tenant})
        data = {**sent, "scope": list(offered if scopes is None else scopes)}
        headers = {"Origin": self.site}
        return self._settled(self.http.post(str(self.page.url), data=data, headers=headers))

    def consent(self, address: str, email: str, password: str) -> str:
        """Sign in and allow everything; answers the address the client is sent to."""
        self.visit(address)
        self.press("sign_in", email=email, password=password)
        answer = self.press("approve")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def _settled(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect:
            target = urljoin(str(answer.url), answer.headers["location"])
            if not target.startswith(self.site + "/"):
                return answer
            answer = self.http.get(target)
        self.page = answer
        return answer


def parameters(address: str) -> dict[str, str]:
    """The parameters of an address, each once."""
    pairs = parse_qsl(urlsplit(address).query, keep_blank_values=True)
    assert len({name for name, _ in pairs}) == len(pairs), address
    return dict(pairs)
