"""Attackers that do not read, do not end, or write in very many pieces."""

import asyncio
import contextlib
import time

from pacabench.agent import LOG_KEPT_BYTES
from pacabench.audit.attack import Alter, Attack, Observation
from pacabench.audit.bench import Bench
from pacabench.audit.drives.talk import open_talk
from pacabench.sandbox.docker import containers

_LARGE_CASE = "x" * (8 * 1024**2)
"""More than a pipe and the engine's buffers hold."""
_TIMEOUT_S = 1.0
_LATE_BY_S = 1.0
_ENDED_WITHIN_S = 5.0


async def unread_stdin(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
    """A large case that is answered unread; then one that is neither read nor answered."""
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s)
        answered = await talk.ask("large", {"text": _LARGE_CASE}, timeout_s=attack.timeout_s)
        silent = await talk.ask("large", {"text": _LARGE_CASE}, timeout_s=_TIMEOUT_S)
    over_s = silent.duration_ms / 1000 - _TIMEOUT_S
    good = answered.answer is not None and silent.timed_out and over_s < _LATE_BY_S
    return talk.observed(not good, over_s=round(over_s, 3), close_s=round(talk.close_s, 3))


async def written_before_read(bench: Bench, attack: Attack) -> Observation:
    """A harness that reads once its case is written: it waits for good."""
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s)
        hung = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(given_s(attack) + 2 * _TIMEOUT_S):
                await talk.send("large", {"text": _LARGE_CASE})
                hung = False
    return talk.observed(hung)


def given_s(attack: Attack) -> float:
    """How long the attack waits before it answers unread."""
    return float(attack.given["pause_s"])


async def ends_at_once(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
    """It ignores every signal that can be ignored; closing it must not take long."""
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        ready = await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s)
    slow = talk.close_s > _ENDED_WITHIN_S
    return talk.observed(slow, close_s=round(talk.close_s, 3), ready=ready.answer is not None)


async def asked_to_end(bench: Bench, attack: Attack) -> Observation:
    """A harness that asks with SIGTERM, and waits."""
    engine = bench.ground.engine
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s)
        name = talk.session.container
        await engine.call(lambda client: client.kill(name, signal="SIGTERM"))
        try:
            await containers.read_end(engine, name, within_s=_TIMEOUT_S)
            stays = False
        except TimeoutError:
            stays = True
    return talk.observed(stays)


async def in_small_pieces(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
    """Very many small writes: all are read, the first of them are kept, the answer is found."""
    began = time.monotonic()
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        reply = await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s, last=True)
    assert talk.end is not None
    good = reply.answer is not None and len(reply.log) <= LOG_KEPT_BYTES
    return talk.observed(
        not good,
        took_s=round(time.monotonic() - began, 3),
        log_bytes=len(reply.log),
        came_bytes=talk.end.stdout_bytes + talk.end.stderr_bytes,
    )


async def all_pieces_kept(bench: Bench, attack: Attack) -> Observation:
    """A harness that keeps each line."""
    kept = []
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        await talk.send(attack.id, attack.given, last=True)
        while (line := await talk.session.read_line()) is not None:
            kept.append(line)
    size = sum(map(len, kept))
    return talk.observed(size > LOG_KEPT_BYTES, lines=len(kept), kept_bytes=size)
