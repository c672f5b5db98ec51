"""An invoice as a file of one page; plain text in a built-in font, so no library is needed."""

from __future__ import annotations

from datetime import UTC, datetime

from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.periods import shown

_LEFT, _TOP, _STEP = 60, 780, 18
_MOST_LINES = 30


def written(invoice: Object) -> bytes:
    """The file."""
    lines = [
        "LOCAL STAND-IN FOR STRIPE - NO MONEY MOVED",
        "",
        f"Invoice {invoice['number']}",
        datetime.fromtimestamp(invoice["created"], UTC).strftime("%d %b %Y"),
        f"Customer: {invoice['customer_email'] or invoice['customer']}",
        f"State: {invoice['status']}",
        "",
    ]
    lines += [
        f"{one['description']}   {shown(one['amount'], one['currency'])}"
        for one in invoice["lines"]["data"][:_MOST_LINES]
    ]
    lines += ["", f"Due: {shown(invoice['amount_due'], invoice['currency'])}"]
    body = b"BT /F1 11 Tf %d %d Td %d TL\n" % (_LEFT, _TOP, _STEP)
    body += b"".join(b"(%s) Tj T*\n" % _escaped(line) for line in lines) + b"ET"
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
            b" /Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(body), body),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        ]
    )


def _escaped(line: str) -> bytes:
    plain = line.encode("cp1252", errors="replace")
    return plain.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: list[bytes]) -> bytes:
    made, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return (
        made
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (
            len(objects) + 1,
            table,
            len(objects) + 1,
            len(made),
        )
    )
