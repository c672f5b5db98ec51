"""An entry of the access log has the bytes that RFC 8785 gives it, whatever its texts hold."""

from __future__ import annotations

from uuid import UUID

import orjson
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.audit.access import Access
from cohortlens.audit.access_log import canonical
from cohortlens.core.ids import TenantId

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
ID = UUID("01930000-0000-7000-8000-000000000001")


@settings(max_examples=400, deadline=None)
@given(TEXT, TEXT, TEXT, st.lists(TEXT, max_size=3), st.integers(0, 2**53 - 1))
def test_the_bytes_are_those_of_rfc_8785(actor, resource, reason, customers, at_us):
    access = Access(
        TenantId(ID), actor, "", "a.b.c", "/M", resource, customers, "OK", reason, "r", "192.0.2.7", at_us
    )
    written = canonical(ID, access, b"k" * 32)
    assert written == rfc8785.dumps(orjson.loads(written))


def test_control_signs_and_planes_beyond_the_first_are_written_as_rfc_8785_says():
    signs = "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028é€😀'
    access = Access(TenantId(ID), signs, "", "a.b.c", "/M", "", [], "OK", "", "r", "", 1)
    written = canonical(ID, access, None)
    assert orjson.loads(written)["actor"] == signs
    assert written == rfc8785.dumps(orjson.loads(written))
