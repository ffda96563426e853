"""The directory of a keeper is as tight as it was asked to be, or is not used."""

from typing import Any

import pytest

from pacabench.sandbox.docker.keeper import is_bounded

HELD = {"ready": True, "bytes": 1024**2, "inodes": 1024, "nosuid": True, "nodev": True}


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({}, True),
        ({"bytes": 1024**2 + 4096}, True),
        ({"bytes": 1024**2 + 64 * 1024}, False),
        ({"bytes": 0}, False),
        ({"inodes": 1025}, False),
        ({"inodes": 0}, False),
        ({"nosuid": False}, False),
        ({"nodev": False}, False),
    ],
)
def test_what_the_engine_ignored_is_noticed(change: dict[str, Any], held: bool) -> None:
    assert is_bounded({**HELD, **change}, 1024**2) is held
