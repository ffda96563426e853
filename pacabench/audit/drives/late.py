"""Answers that come too late, or twice, or for somebody else: whose they become."""

from collections.abc import Mapping, Sequence

from pacabench.audit.attack import Alter, Attack, Drive, Observation
from pacabench.audit.bench import Bench
from pacabench.audit.drives.cases import Isolation, naive_answers, run_cases
from pacabench.audit.drives.talk import open_talk, remark
from pacabench.model import JSON, Outcome

NAIVE_WORKER = "the end of a worker that was late, and the emptying of its output before a case"
_TIMEOUT_S = 1.0
_WITHIN_S = 20.0
_LATE = (
    {"word": "late", "sleep_s": 1.6, "expected": "late"},
    {"word": "prompt", "sleep_s": 0, "expected": "prompt"},
)


def late(isolation: Isolation) -> Drive:
    """A case that is answered after its timeout, and the next one."""

    async def drive(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
        first, second = await run_cases(
            bench, attack, _LATE, isolation=isolation, timeouts_s=(_TIMEOUT_S, _WITHIN_S)
        )
        good = first.outcome is Outcome.TIMEOUT and second.output == "prompt"
        return remark(
            not good, first=first.outcome.value, second=second.outcome.value, said=second.output
        )

    return drive


async def late_to_a_naive_worker(bench: Bench, attack: Attack) -> Observation:
    """The same cases for a harness that goes on with its worker after a timeout."""

    async def naive() -> Observation:
        async with open_talk(bench, {attack.id: attack.script}) as talk:
            _, second = await naive_answers(talk, attack, _LATE, (_TIMEOUT_S, _WITHIN_S))
        return talk.observed(second == "late", second=second)

    # Neither fresh containers nor workers are told apart by such a harness.
    return await bench.ground.shared.once("late answer", naive)


def _pair(attack: Attack) -> Sequence[Mapping[str, JSON]]:
    """Two cases; the second takes a while, so that something may come in between."""
    return [
        {"word": "one", "expected": "one", "sleep_s": 0.0, "own_id": f"{attack.id}-0"},
        {"word": "two", "expected": "two", "sleep_s": 0.8, "own_id": f"{attack.id}-1"},
    ]


async def twice(bench: Bench, attack: Attack, _: Alter | None) -> Observation:
    """Two cases for one worker, each of which it answers more than once."""
    cases = _pair(attack)
    results = await run_cases(bench, attack, cases, isolation="worker", timeouts_s=[_WITHIN_S] * 2)
    good = all(result.outcome is Outcome.PASSED for result in results)
    return remark(not good, answers=[result.output for result in results])


async def twice_to_a_naive_worker(bench: Bench, attack: Attack) -> Observation:
    """The same for a harness that believes whatever line comes next."""
    async with open_talk(bench, {attack.id: attack.script}) as talk:
        answers = await naive_answers(talk, attack, _pair(attack), (_WITHIN_S, _WITHIN_S))
    return talk.observed(answers != ["one", "two"], answers=answers)
