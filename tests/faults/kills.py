"""Kills: who, where, at which passing; and which steps a victim can be killed at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from faults.steps import ATTEMPT, OF_THE_AGENT, ONLY_DOCKER, RECOVERY, Step


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
        return f"{self.victim} at passing {self.nth} of '{self.step}'"


@dataclass(frozen=True, slots=True)
class Hit:
    """A kill that was done."""

    kill: Kill
    in_flight: int
    """Calls that were under way at the provider at that moment."""


def read_kill(written: Mapping[str, Any]) -> Kill:
    """A kill as ``dataclasses.asdict`` and JSON leave it."""
    step = written["step"]
    named = {"victim": Victim(written["victim"]), "step": None if step is None else Step(step)}
    return Kill(**{**written, **named})


ALL_BUT_ENGINE = (Victim.HARNESS, Victim.SIDECAR, Victim.HOLDER, Victim.AGENT)
_WITH_LANES = (Step.LANE_UP, Step.CREATE_UNHEARD, *ATTEMPT)
STEPS_OF: dict[Victim, Sequence[Step]] = {
    Victim.HARNESS: tuple(Step),
    Victim.SIDECAR: (Step.SIDECAR_READY, *_WITH_LANES),
    Victim.HOLDER: _WITH_LANES,
    Victim.AGENT: OF_THE_AGENT,
    Victim.ENGINE: (Step.SPOOL_FOUND, Step.SIDECAR_READY, *_WITH_LANES, Step.SIDECAR_LEAVES),
}
"""Where a victim is there to be killed."""


def every_step(sandbox: str) -> list[Kill]:
    """The harness killed once at each step that it passes in ``sandbox``, in an order that works.

    What a killed session left is recovered by the next one, so those steps follow a kill that
    leaves something.
    """
    steps = [step for step in Step if sandbox == "docker" or step not in ONLY_DOCKER]
    recovery = [step for step in steps if step in RECOVERY]
    steps = [step for step in steps if step not in RECOVERY]
    place = steps.index(Step.AT_PROVIDER) + 1
    return [Kill(Victim.HARNESS, step) for step in [*steps[:place], *recovery, *steps[place:]]]
