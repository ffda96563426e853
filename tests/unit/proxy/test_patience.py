"""What is tried again, and when."""

from collections.abc import Mapping

import pytest
from multidict import CIMultiDict

from pacabench.proxy.patience import Patience, is_transient, retry_after_s

DATE = "Wed, 25 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1_0"}, None),
        ({"Retry-After": "9" * 400}, float("inf")),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Wed, 25 Nov 2026 10:00:30 GMT", "Date": DATE}, 30.0),
        ({"Retry-After": "Wed, 25 Nov 2026 09:59:30 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Wed, 25 Nov 1999 09:59:30 GMT"}, 0.0),
        ({"Retry-After": "Wed, 99 Nov 2026 10:00:30 GMT", "Date": DATE}, None),
    ],
)
def test_every_form_of_retry_after(headers: Mapping[str, str], seconds: float | None) -> None:
    assert retry_after_s(CIMultiDict(headers)) == seconds


@pytest.mark.parametrize(
    ("status", "headers", "body", "again"),
    [
        (429, {}, b"slow down", True),
        (429, {}, b'{"error": {"code": "insufficient_quota"}}', False),
        (500, {}, b"", True),
        (503, {}, b"", True),
        (529, {}, b"overloaded", True),
        (501, {}, b"", False),
        (408, {}, b"", True),
        (400, {}, b"", False),
        (401, {}, b"", False),
        (404, {}, b"", False),
        (503, {"X-Should-Retry": "false"}, b"", False),
        (400, {"x-should-retry": "true"}, b"", True),
    ],
)
def test_what_may_succeed_a_little_later(
    status: int, headers: Mapping[str, str], body: bytes, again: bool
) -> None:
    assert is_transient(status, CIMultiDict(headers), body) is again


def test_backoff_doubles_up_to_its_cap_and_is_never_less_than_half() -> None:
    patience = Patience(backoff_s=1.0, backoff_cap_s=5.0)
    for failures, ceiling in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (10_000, 5.0)):
        for _ in range(50):
            assert ceiling / 2 <= patience.backoff(failures) <= ceiling
