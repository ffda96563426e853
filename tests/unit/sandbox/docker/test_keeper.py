"""The directory of a keeper is as tight as it was asked to be, or is not used."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pacabench.errors import SandboxError
from pacabench.sandbox.docker import keeper as keeping
from pacabench.sandbox.docker.keeper import Keeper, KeeperRecipe, is_bounded

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


class Stuck:
    """The attachment of a keeper that takes ``room`` writes, and says nothing."""

    stderr_tail = ""

    def __init__(self, room: int) -> None:
        self.room = room

    async def write(self, data: bytes) -> None:
        del data
        self.room -= 1
        if self.room < 0:
            await asyncio.Event().wait()

    async def wait_ended(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_a_keeper_that_is_stuck_is_given_up(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_ANSWERS_WITHIN_S", 0.05)
    engine: Any = None
    keeper = Keeper(engine, KeeperRecipe("image", {}, 1024**2, 20_000))
    monkeypatch.setattr(keeper, "_attachment", Stuck(room))
    (tmp_path / "a").write_text("1")
    async with asyncio.timeout(5):
        with pytest.raises(SandboxError, match="a keeper did nothing"):
            await keeper.put([("a", tmp_path / "a")])
    await keeper.close()
