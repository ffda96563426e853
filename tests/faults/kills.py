"""Which kills an episode is to suffer: who, where, at which passing. All of it from a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from faults.steps import ATTEMPT, OF_THE_AGENT, ONLY_DOCKER, Step


class Victim(StrEnum):
    """Who gets SIGKILL."""

    HARNESS = "harness"
    SIDECAR = "sidecar"
    HOLDER = "lane holder"
    AGENT = "agent"
    ENGINE = "dockerd"


@dataclass(frozen=True, slots=True)
class Kill:
    """One planned kill: at a step, or where that is None after a delay."""

    victim: Victim
    step: Step | None
    nth: int = 1
    delay_s: float = 0.0
    away_s: float = 0.0
    """How long a killed engine stays away."""

    def __str__(self) -> str:
        if self.step is None:
            return f"{self.victim} after {self.delay_s:.1f} s"
        return f"{self.victim} at passing {self.nth} of {self.step!r}"


ALL_BUT_ENGINE = (Victim.HARNESS, Victim.SIDECAR, Victim.HOLDER, Victim.AGENT)
_ONCE = {Step.RUN_MADE, Step.SESSION_BEGUN, Step.SIDECAR_READY, Step.SIDECAR_LEAVES}
_ONCE |= {Step.REST_REMOVED, Step.SESSION_ENDING, Step.SESSION_ENDED}
_RECOVERY = {Step.SPOOL_FOUND, Step.SPOOL_SAVED, Step.SPOOL_TAKEN}
_WITH_LANES = (Step.LANE_UP, Step.CREATE_UNHEARD, *ATTEMPT)
_STEPS: dict[Victim, Sequence[Step]] = {
    Victim.HARNESS: tuple(Step),
    Victim.SIDECAR: (Step.SIDECAR_READY, *_WITH_LANES),
    Victim.HOLDER: _WITH_LANES,
    Victim.AGENT: OF_THE_AGENT,
    Victim.ENGINE: (Step.SIDECAR_READY, *_WITH_LANES, Step.SIDECAR_LEAVES),
}
_RANDOM_SHARE = 0.25
_MOST_OF_A_SIDECAR = 2
"""Per episode: the run ends by itself when its sidecar dies five times within two minutes."""
_LAST_STEPS = (Step.SIDECAR_LEAVES, Step.REST_REMOVED, Step.SESSION_ENDING, Step.SESSION_ENDED)


def plan_episode(chance: random.Random, victims: Sequence[Victim], *, cases: int) -> list[Kill]:
    """The kills of one run, in order. Those that end a session early come before the last steps."""
    weights = {
        Victim.HARNESS: 3,
        Victim.SIDECAR: 2,
        Victim.HOLDER: 3,
        Victim.AGENT: 4,
        Victim.ENGINE: 3,
    }
    count = chance.randint(cases * 5 // 8, cases * 7 // 8)
    chosen = chance.choices(victims, [weights[victim] for victim in victims], k=count)
    kills: list[Kill] = []
    for victim in chosen:
        sidecars = sum(kill.victim is Victim.SIDECAR for kill in kills)
        if victim is Victim.SIDECAR and sidecars >= _MOST_OF_A_SIDECAR and Victim.HOLDER in victims:
            victim = Victim.HOLDER  # noqa: PLW2901
        kill = _kill(chance, victim)
        if kill.step in _RECOVERY:  # there has to be something to recover from
            kills.append(Kill(Victim.HARNESS, chance.choice(OF_THE_AGENT)))
        kills.append(kill)
    return sorted(kills, key=_order)


def _order(kill: Kill) -> int:
    if kill.step is Step.RUN_MADE:
        return 0
    return 2 + _LAST_STEPS.index(kill.step) if kill.step in _LAST_STEPS else 1


def _kill(chance: random.Random, victim: Victim) -> Kill:
    away_s = chance.choice([0.0, 0.5, 3.0]) if victim is Victim.ENGINE else 0.0
    if chance.random() < _RANDOM_SHARE:
        longest_s = 15.0 if victim is Victim.HARNESS else 5.0
        return Kill(victim, None, delay_s=chance.uniform(0.2, longest_s), away_s=away_s)
    step = chance.choice(_STEPS[victim])
    nth = 1 if step in _ONCE or step in _RECOVERY else chance.randint(1, 2)
    return Kill(victim, step, nth=nth, away_s=away_s)


def every_step(sandbox: str) -> list[Kill]:
    """The harness killed once at each step that it passes in ``sandbox``, in an order that works.

    What a killed session left is recovered by the next one, so those steps follow a kill that
    leaves something.
    """
    steps = [step for step in Step if sandbox == "docker" or step not in ONLY_DOCKER]
    recovery = [step for step in steps if step in _RECOVERY]
    steps = [step for step in steps if step not in _RECOVERY]
    place = steps.index(Step.AT_PROVIDER) + 1
    return [Kill(Victim.HARNESS, step) for step in [*steps[:place], *recovery, *steps[place:]]]
