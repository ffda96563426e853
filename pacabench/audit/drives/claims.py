"""Answers that claim too much, and harnesses that believe them."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from pacabench.audit.attack import (
    Alter,
    Attack,
    ControlDrive,
    Drive,
    Finding,
    NoAnswerError,
    Observation,
)
from pacabench.audit.bench import Bench
from pacabench.audit.drives.cases import run_cases
from pacabench.audit.drives.images import careless_image, made_image
from pacabench.audit.drives.left import LOOK
from pacabench.audit.drives.talk import open_talk, remark
from pacabench.model import JSON, CaseResult, Outcome
from pacabench.sandbox.docker.images.agent import AgentImage

_CASES_WITHIN_S = 20.0
_IDLE_S = 0.5
_WORD = "right"


async def search_image(bench: Bench, attack: Attack, alter: Alter | None) -> Observation:
    """In the image that is made of a project with answers and keys in it."""
    return await _search(bench, attack, await made_image(bench.ground), alter)


async def search_careless_image(bench: Bench, attack: Attack) -> Observation:
    """In the image that the whole project was copied into."""
    return await _search(bench, attack, await careless_image(bench.ground), None)


async def _search(
    bench: Bench, attack: Attack, image: AgentImage, alter: Alter | None
) -> Observation:
    async with open_talk(bench, {attack.id: attack.script}, alter=alter, image=image) as talk:
        reply = await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s, last=True)
    return Observation(reply, talk.end, (), talk.close_s)


def one_case(good: Callable[[CaseResult, Bench], bool], expected: str = _WORD) -> Drive:
    """One case of a run, and whether its result is as it has to be."""

    async def drive(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
        case = {"word": _WORD, "own_id": f"{attack.id}-0", "expected": expected}
        (result,) = await run_cases(
            bench, attack, [case], isolation="case", timeouts_s=[_CASES_WITHIN_S]
        )
        return remark(
            not good(result, bench),
            outcome=result.outcome.value,
            output=result.output,
            tokens=_tokens(bench, result.attempt_id),
        )

    return drive


def is_right(result: CaseResult, _: Bench) -> bool:
    """The right answer was taken."""
    return result.outcome is Outcome.PASSED and result.output == _WORD


def is_wrong(result: CaseResult, _: Bench) -> bool:
    """The wrong answer stayed one."""
    return result.outcome is Outcome.FAILED


def is_metered(result: CaseResult, bench: Bench) -> bool:
    """Its call is in the books, with its tokens."""
    return result.outcome is Outcome.PASSED and _tokens(bench, result.attempt_id) > 0


def _tokens(bench: Bench, attempt_id: str) -> int:
    calls = bench.ledger.of(attempt_id)
    return sum((call.usage.total_input_tokens or 0) for call in calls if call.usage is not None)


def believed(trust: Callable[[Mapping[str, Any]], bool]) -> ControlDrive:
    """A harness that takes the first object as it is."""

    async def drive(bench: Bench, attack: Attack) -> Observation:
        case = {**attack.given, "word": _WORD, "own_id": "own"}
        async with open_talk(bench, {attack.id: attack.script}) as talk:
            await talk.send(attack.id, case, last=True)
            message: JSON = {}
            async with asyncio.timeout(_CASES_WITHIN_S):
                while (line := await talk.session.read_line()) is not None:
                    if line.startswith(b"{"):
                        message = json.loads(line)
                        break
        return talk.observed(trust(message), message=message)

    return drive


async def result_files(bench: Bench, attack: Attack) -> Observation:
    """A harness that looks for result files where the agent ran."""
    async with open_talk(bench, {"look": LOOK, attack.id: attack.script}) as talk:
        await talk.send(attack.id, attack.given)
        async with asyncio.timeout(_CASES_WITHIN_S):
            # The answer, and what is said for a process that told nothing more.
            for _ in ("answer", "end"):
                await talk.session.read_line()
        given = {"kinds": ["files"], "form": "canary-"}
        reply = await talk.ask("look", given, timeout_s=_CASES_WITHIN_S)
    said = reply.answer.output if reply.answer is not None else {}
    files = said["evidence"]["files"] if isinstance(said, dict) else []
    return talk.observed(any(name.endswith("reward.txt") for name in files), files=files)


def every_reply_booked(seen: Observation) -> Finding:
    """Each reply that the script got is in the books of its own attempt, with tokens."""
    answer = seen.reply.answer
    if answer is None or not isinstance(answer.output, dict):
        raise NoAnswerError("the attack got no reply")
    evidence = answer.output.get("evidence") or {}
    booked = [
        call
        for call in seen.calls
        if call.end == "complete" and call.usage is not None and call.usage.total_input_tokens
    ]
    replies = int(evidence.get("replies", 0))
    return Finding(
        broke=replies > len(booked), evidence={"replies": replies, "booked": len(booked)}
    )


async def calls_after(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
    """A worker that goes on asking the model between two cases."""
    return await _calls_after(bench, attack, unbinds=True)


async def calls_unnoticed(bench: Bench, attack: Attack) -> Observation:
    """The same where the end of a case changes nothing for the proxy."""
    return await _calls_after(bench, attack, unbinds=False)


async def _calls_after(bench: Bench, attack: Attack, *, unbinds: bool) -> Observation:
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        await talk.ask(attack.id, {}, timeout_s=attack.timeout_s)
        if unbinds:
            await talk.session.unbind()
        await asyncio.sleep(_IDLE_S)
        ask = talk.ask if unbinds else talk.ask_on
        reply = await ask(attack.id, {"tell": True}, timeout_s=attack.timeout_s)
    if reply.answer is None or not isinstance(reply.answer.output, dict):
        raise NoAnswerError("the attack did not tell")
    told = reply.answer.output["evidence"]
    booked = sum(len(bench.ledger.of(attempt)) for attempt in bench.attempts[-2:])
    broke = told["refused"] == 0 or told["served"] > booked
    return talk.observed(broke, booked=booked, **told)
