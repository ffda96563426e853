"""Reading a judge's reply: the one object in it that repeats the code, and nothing else."""

import json
from dataclasses import dataclass

from pacabench.config.evaluators import LlmJudgeConfig
from pacabench.evaluators.text import excerpt
from pacabench.model import JSON

MAX_CHARACTERS = 200_000
_MOST_OBJECTS = 200


class UnusableReplyError(ValueError):
    """The reply is no verdict; says why."""


def _said_once(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise ValueError("a key stands twice: which of its values is meant?")
    return said


_DECODER = json.JSONDecoder(object_pairs_hook=_said_once)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one judge thinks."""

    share: float
    """1 for correct and 0 for incorrect; with a rubric, of the points."""
    reasoning: str


def read_opinion(reply: str, code: str, config: LlmJudgeConfig) -> Opinion:
    """The opinion in ``reply``, which may have thoughts or a fence around it.

    What an agent wrote may be quoted in it, verdicts included: none of those has the code.

    Raises:
        UnusableReplyError: there is no verdict with the code, or more than one.
    """
    if len(reply) > MAX_CHARACTERS:
        raise UnusableReplyError(f"longer than {MAX_CHARACTERS} characters")
    found = [entry for entry in _objects(reply) if entry.get("code") == code]
    if not found:
        raise UnusableReplyError(f"no JSON object with the code in {excerpt(reply, 200)!r}")
    if any(entry != found[0] for entry in found):
        raise UnusableReplyError("more than one verdict")
    said = found[0]
    reasoning = said.get("reasoning")
    return Opinion(_share(said, config), reasoning if isinstance(reasoning, str) else "")


def _share(said: dict[str, JSON], config: LlmJudgeConfig) -> float:
    if config.rubric is None:
        verdict = said.get("verdict")
        if verdict not in ("correct", "incorrect"):
            raise UnusableReplyError(f"the verdict {excerpt(repr(verdict), 80)} is none")
        return float(verdict == "correct")
    points = said.get("points")
    if isinstance(points, bool) or not isinstance(points, int | float):
        raise UnusableReplyError(f"the points {excerpt(repr(points), 80)} are no number")
    if not 0 <= points <= config.max_points:
        raise UnusableReplyError(f"{points} points, and {config.max_points} are the most")
    return points / config.max_points


def _objects(text: str) -> list[dict[str, JSON]]:
    """The JSON objects in ``text`` that stand in no other one."""
    found: list[dict[str, JSON]] = []
    place = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if place < 0:
            break
        try:
            value, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            found.append(value)
        place = text.find("{", end)
    return found
