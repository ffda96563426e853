"""What an engine's words for a failed start mean."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from pacabench.errors import PacabenchError, SandboxError, SandboxUnavailableError
from pacabench.sandbox.docker.containers import End, is_alive, read_end, start
from pacabench.sandbox.docker.engine import Engine

_RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: "
LANE_GONE = (
    f"{_RUNC}unable to create new parent process: namespace path: "
    "lstat /proc/28029/ns/net: no such file or directory: unknown"
)
FILES_GONE = (
    f"{_RUNC}unable to start container process: error during container init: error mounting "
    '"/var/lib/docker/containers/0c1e/resolv.conf" to rootfs at "/etc/resolv.conf": '
    "stat /var/lib/docker/containers/0c1e/resolv.conf: no such file or directory: unknown"
)
NO_SHELL = (
    f'{_RUNC}unable to start container process: exec: "/bin/sh": '
    "stat /bin/sh: no such file or directory: unknown"
)
NO_PROGRAM = f'{_RUNC}exec: "foo": executable file not found in $PATH: unknown'


class Refusing:
    """An engine whose clients fail to start anything."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation

    async def call(self, work: Callable[[Any], Any]) -> Any:
        def refuse(_: str) -> None:
            raise APIError("500", explanation=self.explanation)

        return work(SimpleNamespace(start=refuse))


@pytest.mark.parametrize(
    ("explanation", "kind"),
    [
        (LANE_GONE, SandboxError),
        (FILES_GONE, SandboxError),
        (NO_SHELL, SandboxUnavailableError),
        (NO_PROGRAM, SandboxUnavailableError),
    ],
    ids=["its lane is gone", "its lane's files are gone", "no shell", "no program"],
)
async def test_another_start_may_work_or_none_can(
    explanation: str, kind: type[PacabenchError]
) -> None:
    engine: Any = Refusing(explanation)
    with pytest.raises(PacabenchError) as raised:
        await start(engine, "id", doing="starting agent 'a'")
    assert type(raised.value) is kind


class Telling(Engine):
    """An engine whose clients say ``found`` of every container."""

    def __init__(self, found: Any) -> None:
        super().__init__(workers=1)
        self.found = found

    def _connect(self) -> Any:
        return SimpleNamespace(
            wait=lambda *_, **__: None,
            inspect_container=lambda _: self.found,
            top=lambda *_, **__: self.found,
            close=lambda: None,
        )


@pytest.mark.parametrize(
    "found", [{}, {"State": None}, {"State": {"Running": False, "Status": "exited"}}, ["a"]]
)
@pytest.mark.parametrize("ask", [partial(read_end, within_s=1.0), is_alive])
async def test_half_an_answer_is_the_engines_fault(found: Any, ask: Callable[..., Any]) -> None:
    engine = Telling(found)
    with pytest.raises(SandboxError, match="makes no sense"):
        await ask(engine, "container")
    engine.shut()


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ({"Running": False, "Status": "created", "ExitCode": 0, "OOMKilled": False}, None),
        ({"Running": False, "Status": "exited", "ExitCode": 3, "OOMKilled": True}, End(3, True)),
    ],
)
async def test_how_it_ended(state: Any, end: End | None) -> None:
    engine = Telling({"State": state})
    assert await read_end(engine, "container", within_s=1) == end
    engine.shut()
