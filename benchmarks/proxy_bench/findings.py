"""From bursts to figures: what a contestant did, and what it added to doing without it.

A round has one burst of each contestant. Differences and ratios are taken within a round, and then
the median over the rounds, so that a slow moment of the machine spoils one round for all alike.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy_bench.resting import Rest
from proxy_bench.scenarios import Burst

DIRECT, BARE, OWN, LITELLM = "direct", "bare relay", "pacabench", "LiteLLM"
Rounds = Mapping[str, Sequence[Burst]]
"""Contestant to its bursts of one scenario, in the rounds' order."""


@dataclass(frozen=True)
class Goal:
    """A promise, and what was measured."""

    name: str
    value: float | None
    """None: what it is held against was left out."""
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it is kept."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def figures(rounds: Rounds, name: str) -> dict[str, Any]:
    """All that is known of one contestant in one scenario, for the JSON."""
    found: dict[str, Any] = {
        "per_s": _median(rounds[name], lambda burst: burst.per_s),
        "cpu_ms_each": _median(rounds[name], lambda burst: burst.cpu_ms_each),
        "load_core_busy": _median(rounds[name], lambda burst: burst.load_core_busy),
    }
    for what in ("latency_ms", "ttft_ms", "on_way_ms", "gap_ms"):
        if rounds[name][0].load[what] is not None:
            for place in ("p50", "p99"):
                key = f"{what.removesuffix('_ms')}_{place}_ms"
                found[key] = _median(rounds[name], _at(what, place))
                if name != DIRECT:
                    found[f"added_{key}"] = added(rounds, name, what, place)
    if rounds[name][0].load["reads"]:
        found["reads_of_many"] = _median(rounds[name], reads_of_many)
    if name == OWN:
        for other in (BARE, LITELLM):
            if other in rounds:
                found[f"per_s_to_{other}"] = ratio(rounds, other, lambda burst: burst.per_s)
                found[f"cpu_to_{other}"] = ratio(rounds, other, lambda burst: burst.cpu_ms_each)
    return found


def added(rounds: Rounds, name: str, what: str, place: str) -> float:
    """Milliseconds more than without a proxy."""
    figure = _at(what, place)
    pairs = zip(rounds[name], rounds[DIRECT], strict=True)
    return statistics.median(figure(own) - figure(direct) for own, direct in pairs)


def ratio(rounds: Rounds, other: str, figure: Callable[[Burst], float]) -> float | None:
    """Ours to another's."""
    if other not in rounds:
        return None
    pairs = zip(rounds[OWN], rounds[other], strict=True)
    return statistics.median(figure(own) / figure(its) for own, its in pairs)


def reads_of_many(burst: Burst) -> float:
    """Share of the reads that brought more than one event."""
    return float(burst.load["reads_of_many"] / burst.load["reads"])


def goals(scenarios: Mapping[str, Rounds], rest: Rest) -> list[Goal]:
    """What the proxy promises."""
    one, many = scenarios["one at a time"], scenarios["16 at a time"]
    single, paced = scenarios["one paced stream"], scenarios["64 paced streams"]
    long = scenarios["prompts of 400 KB"]

    def rate(burst: Burst) -> float:
        return burst.per_s

    def cpu(burst: Burst) -> float:
        return burst.cpu_ms_each

    pairs = zip(single[OWN], single[DIRECT], strict=True)
    together = statistics.median(
        reads_of_many(own) - reads_of_many(direct) for own, direct in pairs
    )
    return [
        Goal("added latency, p50", added(one, OWN, "latency_ms", "p50"), 0.6, "ms"),
        Goal("added latency, p99", added(one, OWN, "latency_ms", "p99"), 2, "ms"),
        Goal("added by a 400 KB prompt, p50", added(long, OWN, "latency_ms", "p50"), 5, "ms"),
        Goal("requests/s at 16, to the bare relay's", ratio(many, BARE, rate), 0.85, "x", True),
        Goal("the same by CPU time", _inverse(ratio(many, BARE, cpu)), 0.85, "x", True),
        Goal("requests/s at 16, to LiteLLM's", ratio(many, LITELLM, rate), 20, "x", True),
        Goal("added TTFT of 64 paced streams, p50", added(paced, OWN, "ttft_ms", "p50"), 4, "ms"),
        Goal("CPU per paced stream", _median(paced[OWN], lambda it: it.cpu_ms_each), 3, "ms"),
        Goal("events that came together, one stream", together, 0.01, "more of all reads"),
        Goal("memory at rest", rest.idle_mb, 60, "MB"),
        Goal("memory with 500 idle streams", rest.streams_mb, 150, "MB"),
        Goal("first answer after the start", rest.first_answer_s, 1, "s"),
    ]


def _inverse(value: float | None) -> float | None:
    return None if value is None else 1 / value


def _median(bursts: Sequence[Burst], figure: Callable[[Burst], float]) -> float:
    return statistics.median(figure(burst) for burst in bursts)


def _at(what: str, place: str) -> Callable[[Burst], float]:
    return lambda burst: float(burst.load[what][place])
