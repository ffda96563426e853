"""A sidecar's spool is asked for while another sweep removes that sidecar."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from pacabench.errors import SandboxError
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.spool import fetch_spool

HALF_GONE = APIError("500", explanation="RWLayer of container 5860 is unexpectedly nil")


class Giving(Engine):
    """An engine that gives ``archive``, or fails with it, for a container in ``state``."""

    def __init__(self, archive: Exception | bytes, state: str | None) -> None:
        super().__init__(workers=1)
        self.archive = archive
        self.state = state

    def _connect(self) -> Any:
        return SimpleNamespace(
            get_archive=self._archive, inspect_container=self._inspect, close=lambda: None
        )

    def _archive(self, _: str, __: str) -> tuple[Iterator[bytes], None]:
        if isinstance(self.archive, Exception):
            raise self.archive
        return iter([self.archive]), None

    def _inspect(self, _: str) -> dict[str, dict[str, str]]:
        if self.state is None:
            raise NotFound("404")
        return {"State": {"Status": self.state}}


@pytest.mark.parametrize("state", ["removing", "dead", None])
@pytest.mark.parametrize("archive", [HALF_GONE, b"half a header"], ids=["refused", "cut"])
async def test_what_is_being_removed_has_no_spool_any_more(
    archive: Exception | bytes, state: str | None, tmp_path: Path
) -> None:
    engine = Giving(archive, state)
    assert await fetch_spool(engine, "sidecar", tmp_path / "spool") is False
    engine.shut()


@pytest.mark.parametrize("archive", [HALF_GONE, b"half a header"], ids=["refused", "cut"])
async def test_what_stays_and_gives_none_is_an_error(
    archive: Exception | bytes, tmp_path: Path
) -> None:
    engine = Giving(archive, "exited")
    with pytest.raises(SandboxError, match="reading a sidecar's spool"):
        await fetch_spool(engine, "sidecar", tmp_path / "spool")
    engine.shut()
