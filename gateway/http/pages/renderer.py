"""Makes a page of a template: one base, escaped values, a policy that allows the base's style only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway.http.replies import HeaderList, Response

_FOLDER: Final = Path(__file__).parent / "templates"
_HTML: Final = "text/html; charset=utf-8"
_STYLE: Final = (_FOLDER / "style.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
# The file is ours and holds no "<": escaped, its bytes would no longer have the hash.
_ENVIRONMENT.globals["style"] = Markup(_STYLE)  # noqa: S704


def render(
    template: str,
    values: dict[str, Any],
    *,
    status: int = 200,
    form_targets: Iterable[str] = (),
    headers: HeaderList | None = None,
) -> Response:
    """A page as an answer that no cache keeps, no other page frames and that loads and runs nothing.

    Args:
        template: File below ``templates``; it extends ``base.html`` and fills the blocks title and content.
        values: What the template shows; every text is escaped.
        status: HTTP status.
        form_targets: Origins or schemes (``https://app.example``, ``com.example.app:``) to which the answer
            to a form of the page may redirect: browsers hold redirects after a POST to ``form-action`` too.
        headers: More headers, such as cookies.
    """
    targets = " ".join(("'self'", *form_targets))
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    fixed: HeaderList = [
        (b"content-security-policy", policy.encode("ascii")),
        (b"x-frame-options", b"DENY"),
        # Under no-referrer a browser sends `Origin: null` with the page's own forms.
        (b"referrer-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    text = _ENVIRONMENT.get_template(template).render(values)
    return Response(status, _HTML, text.encode("utf-8"), [*fixed, *(headers or [])])


def message(
    heading: str, text: str, *, status: int = 200, reason: str = "", request_id: str = ""
) -> Response:
    """A page that only says something: done, refused, expired.

    Args:
        heading: Title of the page.
        text: One or two sentences: what happened and what to do.
        status: HTTP status.
        reason: Reason in upper snake case, for support.
        request_id: Identifier of the request, likewise.
    """
    values = {"heading": heading, "text": text, "reason": reason, "request_id": request_id}
    return render("message.html", values, status=status)


def incomplete_link() -> Response:
    """The page for a mailed link that lost its end on the way."""
    return message(
        "This link is not complete",
        "Open the whole link of the mail, or copy all of it into the address line.",
        status=400,
    )
