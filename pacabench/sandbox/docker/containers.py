"""The life of one container in steps that can be repeated: a second kill or removal is no error.

Engines answer races with errors ("No such container", "is not running", "removal ... is already in
progress"); here they mean what they say.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import docker
import requests
from docker.errors import APIError, NotFound

from pacabench.aio import running_time
from pacabench.errors import SandboxError, SandboxUnavailableError
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import opaque_name

REMOVE_WITHIN_S = 60.0
KILL_WITHIN_S = 10.0
_RETRY_EVERY_S = 0.2
_AWAITED_S = 0.25
"""How long one of the engine's threads waits for an end: most come at once, and asking again and
again finds them late. An agent that stays must not keep a thread."""
_SIGNAL_BASE = 128
_SIGNALS = 64
SIGKILL = 9


@dataclass(frozen=True, slots=True)
class End:
    """How a container's process ended, as the engine tells it."""

    exit_code: int
    out_of_memory: bool

    @property
    def signal(self) -> int | None:
        """The signal that ended it, by the shells' convention: init answers 128 + signal."""
        number = self.exit_code - _SIGNAL_BASE
        return number if 0 < number <= _SIGNALS else None


async def create(engine: Engine, body: Mapping[str, Any], *, doing: str) -> str:
    """Create a container with an opaque name; returns its id.

    Shield it: cancelled, or with an answer that comes too late, or cut, or never, the container is
    removed as soon as there is one, but nobody waits for that.

    Raises:
        ImageError: its image is gone.
        SandboxError: the engine cannot make it.
    """
    name = opaque_name()

    def make(client: docker.APIClient) -> str:
        create_from: Callable[..., Any] = client.create_container_from_config  # without a stub
        return str(create_from(dict(body), name)["Id"])

    def dispose(_: object = None) -> None:
        engine.later(lambda client: discard(client, name))

    try:
        return await engine.call(make, dispose=dispose)
    except APIError as error:
        raise explain(error, doing) from error
    except SandboxError:
        dispose()
        raise


def discard(client: docker.APIClient, container: str) -> None:
    """Remove a container by name or id, if that can be done at once."""
    with contextlib.suppress(APIError):
        client.remove_container(container, v=True, force=True)


async def start(engine: Engine, container_id: str, *, doing: str) -> None:
    """Start a created container.

    Raises:
        SandboxUnavailableError: its image or the engine lacks what is needed to run anything.
        SandboxError: the engine cannot start it.
    """
    try:
        await engine.call(lambda client: client.start(container_id))
    except APIError as error:
        text = str(error.explanation or error)
        if "fork/exec" in text:
            raise SandboxUnavailableError(
                f"{doing}: the engine knows the OCI runtime and cannot start it ({text}); install "
                "it where the engine's daemon.json says it is, or name another `sandbox.runtime`"
            ) from error
        # It joins a lane whose holder died, or was removed with its files, meanwhile.
        lane_gone = "namespace path" in text or "/resolv.conf" in text
        if "executable file not found" in text or (
            "no such file or directory" in text.lower() and not lane_gone
        ):
            raise SandboxUnavailableError(
                f"{doing}: the image lacks a program that is needed ({text}); "
                "images of agents need /bin/sh, and so do those of services with a `command`; "
                "the engine needs docker-init"
            ) from error
        raise explain(error, doing) from error


async def kill(engine: Engine, container_id: str) -> bool:
    """Send SIGKILL. False: it was not running any more.

    Raises:
        SandboxError: the engine cannot do it, and not a little later either.
    """
    deadline = running_time() + KILL_WITHIN_S
    while True:
        try:
            await engine.call(lambda client: client.kill(container_id), repeatable=True)
        except APIError as error:
            if error.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
                return False
            # A removal or an end that is under way: engines have a 500 for some of these.
            if running_time() > deadline:
                raise explain(error, "killing a container") from error
            await asyncio.sleep(_RETRY_EVERY_S)
        else:
            return True


async def is_alive(engine: Engine, container_id: str) -> bool:
    """Whether what a container was started for runs at this moment.

    The kernel's word: what the engine says of a container comes later than its end, and on a busy
    machine even its init's end does. True where the engine has no ``ps`` to ask.
    """

    def list_them(client: docker.APIClient) -> list[tuple[int, int, str]]:
        top: Callable[..., Any] = client.top  # without a stub
        found = top(container_id, ps_args="-eo pid,ppid,stat")["Processes"]
        return [(int(pid), int(parent), state) for pid, parent, state, *_ in found or ()]

    try:
        rows = await engine.call(list_them, repeatable=True)
    except APIError as error:
        return error.status_code not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
    pids = {pid for pid, _, _ in rows}
    init = next((pid for pid, parent, _ in rows if parent not in pids), None)
    # Of init's children the first is the one; others were left by their parents.
    first = min((row for row in rows if row[1] == init), default=None)
    return first is not None and not first[2].startswith("Z")


async def is_going(engine: Engine, container_id: str) -> bool:
    """Whether somebody removes it, or has.

    What the engine says of anything but its state makes no sense then: its files go first.

    Raises:
        SandboxError: the engine does not tell.
    """

    def look(client: docker.APIClient) -> bool:
        inspect: Callable[..., Any] = client.inspect_container  # without a stub
        return inspect(container_id)["State"]["Status"] in {"removing", "dead"}

    try:
        return await engine.call(look, repeatable=True)
    except NotFound:
        return True
    except APIError as error:
        raise explain(error, "looking at a container") from error


async def read_end(engine: Engine, container_id: str, *, within_s: float) -> End | None:
    """How it ended; waits for the engine to notice. None: never started, or gone already.

    Raises:
        TimeoutError: it still runs.
        SandboxError: the engine does not tell.
    """
    deadline = running_time() + within_s
    look, pause_s = functools.partial(_await_end, container_id, min(within_s, _AWAITED_S)), 0.1
    while True:
        try:
            running, end = await engine.call(look, repeatable=True)
        except NotFound:
            return None
        except APIError as error:
            raise explain(error, "looking at a container") from error
        if not running:
            return end
        if running_time() > deadline:
            raise TimeoutError
        await asyncio.sleep(pause_s)
        look, pause_s = functools.partial(_await_end, container_id, 0), min(2 * pause_s, 0.5)


def _await_end(
    container_id: str, patience_s: float, client: docker.APIClient
) -> tuple[bool, End | None]:
    """Whether it runs, and else how it ended, after its end or ``patience_s``.

    An answer that lacks what is looked for is taken apart here, where that is the engine's fault.
    """
    if patience_s > 0:
        wait: Callable[..., Any] = client.wait  # without a stub
        # Their answer's head comes at once: what times out is its body, a "connection error".
        with contextlib.suppress(requests.Timeout, requests.ConnectionError):
            wait(container_id, timeout=patience_s)
    inspect: Callable[..., Any] = client.inspect_container  # as above
    state = inspect(container_id)["State"]
    if state["Running"] or state["Status"] == "created":
        return bool(state["Running"]), None
    return False, End(int(state["ExitCode"]), bool(state["OOMKilled"]))


async def remove(engine: Engine, container_id: str) -> None:
    """Kill and remove it with its anonymous volumes; returns when it is gone. Idempotent.

    Raises:
        SandboxError: it cannot be removed.
    """
    await until_gone(
        engine,
        lambda client: client.remove_container(container_id, v=True, force=True),
        doing="removing a container",
    )


async def until_gone(
    engine: Engine, work: Callable[[docker.APIClient], None], *, doing: str
) -> None:
    """Repeat a removal until it succeeds or there is nothing left to remove.

    Another removal may be under way, a mount still busy, an endpoint still active: all pass.

    Raises:
        SandboxError: it does not pass.
    """
    deadline = running_time() + REMOVE_WITHIN_S
    while True:
        try:
            await engine.call(work, repeatable=True)
        except NotFound:
            return
        except APIError as error:
            if running_time() > deadline:
                raise explain(error, doing) from error
            await asyncio.sleep(_RETRY_EVERY_S)
        else:
            return
