"""A session gives its lane back, whatever fails while it ends."""

from types import SimpleNamespace
from typing import Any

import pytest

from pacabench.errors import SandboxError
from pacabench.sandbox.docker.services import Services
from pacabench.sandbox.docker.session import DockerSession


class Lanes:
    def __init__(self) -> None:
        self.released: list[Any] = []

    async def release(self, lane: Any) -> None:
        self.released.append(lane)


class StayingKeeper:
    async def close(self) -> None:
        raise SandboxError("the volume stays in use")


async def test_also_where_the_directory_that_it_kept_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes, engine = Lanes(), Any
    lane: Any = SimpleNamespace(spoiled=False)
    runtime: Any = SimpleNamespace(lanes=lanes)
    services = Services(engine, (), None)  # type: ignore[arg-type]
    session = DockerSession(engine, runtime, lane, None, services)  # type: ignore[arg-type]
    monkeypatch.setattr(session, "_keeper", StayingKeeper())
    with pytest.raises(SandboxError, match="stays in use"):
        await session.close()
    assert lanes.released == [lane]
    assert lane.spoiled
