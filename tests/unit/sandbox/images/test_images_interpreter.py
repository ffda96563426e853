"""What an image says of its Python is untrusted: the image may be anybody's."""

import json
from typing import Any

import pytest

from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.interpreter import _parse

GOOD: dict[str, Any] = {
    "executable": "/usr/bin/python3",
    "implementation": "cpython",
    "version": "3.11",
    "machine": "x86_64",
    "libc": ["glibc", 2, 36],
    "free_threaded": False,
    "has_pip": False,
    "markers": {"python_version": "3.11"},
}


def test_the_last_line_counts() -> None:
    said = b"a greeting from sitecustomize\n" + json.dumps(GOOD).encode() + b"\n"
    found = _parse(said, "sha256:1")
    assert found is not None
    assert (found.tag, found.libc_version) == ("cp311-glibc2.36-x86_64", (2, 36))


def test_null_is_an_image_without_python() -> None:
    assert _parse(b"null\n", "sha256:1") is None


def test_a_c_library_that_is_not_known_is_no_error() -> None:
    found = _parse(json.dumps({**GOOD, "libc": ["", 0, 0]}).encode(), "sha256:1")
    assert found is not None
    assert found.libc == ""


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xfe",
        b"Segmentation fault\n",
        b"[1, 2]",
        b'"text"',
        json.dumps({**GOOD, "libc": None}).encode(),
        json.dumps({**GOOD, "libc": ["glibc", 2]}).encode(),
        json.dumps({**GOOD, "version": 3.11}).encode(),
        json.dumps({**GOOD, "markers": {"python_version": 3}}).encode(),
        json.dumps({key: GOOD[key] for key in ("libc", "version")}).encode(),
    ],
)
def test_anything_else_is_an_error_that_quotes_it(said: bytes) -> None:
    with pytest.raises(ImageError, match="sha256:1: its python3 does not say what it is, but: "):
        _parse(said, "sha256:1")


def test_what_is_quoted_is_bounded_and_printable() -> None:
    with pytest.raises(ImageError) as caught:
        _parse(b"\x1b[31m" + b"x" * 10**6, "sha256:1")
    assert len(str(caught.value)) < 400
    assert "\x1b" not in str(caught.value)
