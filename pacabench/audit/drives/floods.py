"""Floods: what the harness keeps of them, and whether it can still end who makes them."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil

from pacabench.audit.attack import Alter, Attack, Finding, Observation, noted
from pacabench.audit.bench import Bench
from pacabench.audit.drives.talk import Talk, open_talk
from pacabench.errors import PacabenchError
from pacabench.model import JSON
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import plain_socket

NAIVE_READER = "the bounds of what is kept: a reader that keeps every byte"
MIB = 1024**2
MOST_KEPT = 100 * MIB
"""The harness's share: 64 MiB that wait to be read, 32 MiB of a line, and some."""
_MOST_GROWN = 3 * MOST_KEPT
"""Copies and what the allocator keeps included."""
_CONTROL_WITHIN_S = 20.0
_KILL_WITHIN_S = 1.0
_STALL_S = 1.0
_HANGS_S = 1.5
_PIECE_BYTES = 65536
_SAMPLE_S = 0.02


class Watch:
    """How much of a container's output waited at most, and how much this process grew."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.waited = 0
        self._waiting = waiting
        self._process = psutil.Process()
        self._began = self._peak = self._process.memory_info().rss
        self._task = asyncio.create_task(self._look())
        self.grown = 0
        """Once stopped."""

    async def _look(self) -> None:
        while True:
            self.waited = max(self.waited, self._waiting())
            self._peak = max(self._peak, self._process.memory_info().rss)
            await asyncio.sleep(_SAMPLE_S)

    def stop(self) -> int:
        """Bytes."""
        self._task.cancel()
        self.grown = self._peak - self._began
        return self.grown


async def read_flood(bench: Bench, attack: Attack, alter: Alter | None) -> Observation:
    """The flood as one case of a run. Its answer behind the flood is still found, if one comes."""
    async with open_talk(bench, {attack.id: attack.script}, alter=alter) as talk:
        watch = Watch(lambda: talk.session.waiting_bytes)
        reply = await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s, last=True)
        logged = await _logged(bench, talk)
        grown = watch.stop()
    assert talk.end is not None
    came = talk.end.stdout_bytes + talk.end.stderr_bytes
    lost = reply.answer is None and not reply.timed_out
    kept = watch.waited + len(reply.log) + len(talk.end.stderr_tail)
    broke = kept > MOST_KEPT or grown > _MOST_GROWN or logged > 0 or lost
    facts: dict[str, JSON] = {
        "came_bytes": came,
        "kept_bytes": kept,
        "grown_bytes": grown,
        "engine_kept_bytes": logged,
        "timed_out": reply.timed_out,
        "close_s": round(talk.close_s, 3),
    }
    return talk.observed(broke, **facts)


async def kept_whole(bench: Bench, attack: Attack) -> Observation:
    """The flood for a reader that keeps all, in bounded measure."""
    given = {**attack.given, **attack.control.given}
    kept: list[bytes] = []
    came = 0
    async with open_talk(bench, {attack.id: attack.script}) as talk, _attached(talk, bench) as sock:
        await talk.send(attack.id, given)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONTROL_WITHIN_S):
                while came < given["flood_bytes"] and (
                    piece := await loop.sock_recv(sock, _PIECE_BYTES)
                ):
                    kept.append(piece)
                    came += len(piece)
    size = sum(map(len, kept))
    return talk.observed(size > MOST_KEPT, came_bytes=came, kept_bytes=size)


@asynccontextmanager
async def _attached(talk: Talk, bench: Bench) -> AsyncIterator[socket.socket]:
    """Another reader of the container's output beside the session."""
    name = talk.session.container
    params = {"stdout": 1, "stderr": 1, "stream": 1}
    sock = await bench.ground.engine.call(
        lambda client: plain_socket(client.attach_socket(name, params=params))
    )
    try:
        yield sock
    finally:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


async def _logged(bench: Bench, talk: Talk) -> int:
    """What the engine itself kept of the output: it lies on the machine's disk."""

    def ask(client: Any) -> int:
        return len(client.logs(talk.session.container, tail=1))

    try:
        return await bench.ground.engine.call(ask)
    except PacabenchError:
        raise
    except OSError:  # docker's errors are of this kind: no driver that could be read
        return 0


def stalled_judge(seen: Observation) -> Finding:
    """Newer engines may not hang; then there is nothing to attack."""
    if seen.extra.get("reader") == "stalled" and not seen.extra["broke"]:
        return Finding(
            broke=False,
            evidence=seen.extra,
            missing="this engine ends a container whose output nobody reads",
        )
    return noted(seen)


async def stalled(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
    """Nobody asks for a line while the flood goes on; then it is killed."""
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        await talk.send(attack.id, attack.given)
        await asyncio.sleep(_STALL_S)
        began = time.monotonic()
        await containers.kill(bench.ground.engine, talk.session.container)
        kill_s = time.monotonic() - began
    assert talk.end is not None
    return talk.observed(
        kill_s > _KILL_WITHIN_S,
        kill_s=round(kill_s, 3),
        close_s=round(talk.close_s, 3),
        came_bytes=talk.end.stdout_bytes,
    )


async def unread(bench: Bench, attack: Attack) -> Observation:
    """Somebody is attached who reads nothing, as a harness that is busy."""
    engine = bench.ground.engine
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        async with _attached(talk, bench):
            await talk.send(attack.id, attack.given)
            await asyncio.sleep(_STALL_S)
            began = time.monotonic()
            killing = asyncio.create_task(containers.kill(engine, talk.session.container))
            await asyncio.wait({killing}, timeout=_HANGS_S)
            hung_s = time.monotonic() - began
        await killing
    broke = hung_s > _KILL_WITHIN_S
    return talk.observed(broke, kill_s=round(hung_s, 3), reader="stalled")
