"""A probe that is killed says nothing of the engine: another one looks."""

from types import SimpleNamespace
from typing import Any

import pytest

from pacabench.config.schema import SandboxConfig
from pacabench.errors import SandboxError, SandboxUnavailableError
from pacabench.sandbox.docker import probe as probing
from pacabench.sandbox.docker.probe import probe_all

ENDED = SimpleNamespace(stderr_tail="")


class Looking:
    """Opens sessions that say what they are told to; an error is raised in place of a line."""

    def __init__(self, *says: bytes | SandboxError | None) -> None:
        self.says = list(says)
        self.closed = 0
        self.uid = 20_000

    async def __call__(self, make_box: Any, limits: SandboxConfig) -> Any:
        return self

    async def read_line(self) -> bytes | None:
        said = self.says.pop(0)
        if isinstance(said, SandboxError):
            raise said
        return said

    async def close(self) -> Any:
        self.closed += 1
        return ENDED


async def probe(looking: Looking) -> Any:
    agent: Any = SimpleNamespace(name="a", sandbox=SandboxConfig())
    (found,) = await probe_all([agent], "image", looking, host_kernel="6.1")
    return found


@pytest.mark.parametrize("first", [SandboxError("its lane went down"), None, b"{"])
async def test_a_probe_that_went_down_is_made_again(
    first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "broken_promises", lambda *_, **__: [])  # others test those
    looking = Looking(first, b'{"uid": 20000}')
    assert (await probe(looking)).found == {"uid": 20_000}
    assert looking.closed == 2


async def test_but_not_for_ever() -> None:
    looking = Looking(*[SandboxError("its lane went down")] * 9)
    with pytest.raises(SandboxUnavailableError, match=r"could not be probed.*its lane went down"):
        await probe(looking)
    assert looking.closed == 3


async def test_one_that_never_says_anything_is_a_promise_that_does_not_hold() -> None:
    found = await probe(Looking(*[None] * 9))
    assert "said nothing usable" in found.broken[0]
