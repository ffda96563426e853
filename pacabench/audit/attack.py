"""What an attack is, what comes of it, and how both are judged."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pacabench.agent import Reply
from pacabench.model import JSON, CallRecord, ExitFacts

if TYPE_CHECKING:
    from pacabench.audit.bench import Bench

Body = dict[str, Any]
"""Of ``POST /containers/create``, as ``sandbox.docker.profile`` makes it."""


class Group(StrEnum):
    """Which part of the sandbox is attacked. Names a folder of scripts too."""

    NETWORK = "network"
    PRIVILEGE = "privilege"
    RESOURCES = "resources"
    FILES = "files"
    INTEGRITY = "integrity"


class Status(StrEnum):
    """What an attack's row says."""

    HELD = "held"
    BROKEN = "BROKEN"
    UNPROVEN = "UNPROVEN"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one run of an attack came to."""

    broke: bool
    """It did what it must not be able to do."""
    evidence: Mapping[str, JSON] = field(default_factory=dict)
    missing: str | None = None
    """What this kernel or engine lacks, so that there is nothing to attack."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the harness saw of one run of an attack, for judges."""

    reply: Reply
    exit: ExitFacts | None
    """None in a control that shares its container."""
    calls: Sequence[CallRecord]
    """That were metered for it."""
    close_s: float
    """How long it took to end it and to remove every trace."""
    extra: Mapping[str, JSON] = field(default_factory=dict)
    """What a drive of its own noticed besides."""


Alter = Callable[[Body], Body]
Judge = Callable[[Observation], Finding]
ControlDrive = Callable[["Bench", "Attack"], Awaitable[Observation]]
Drive = Callable[["Bench", "Attack", Alter | None], Awaitable[Observation]]
"""Runs an attack in its own way: with the real profile, or (a control) with an altered body."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """Takes one protection away from an agent's container."""

    name: str
    removed: str
    """What is taken away, for people."""
    apply: Callable[[Body, "Bench"], Body]
    """Gets a body of its own, which it may change."""


@dataclass(frozen=True, slots=True)
class Control:
    """Where the same attack has to work."""

    mutation: Mutation | None = None
    drive: ControlDrive | None = None
    """In place of a mutation: for protections that are not in the container's body."""
    removed: str = ""
    """What a ``drive`` takes away, for people."""
    given: Mapping[str, JSON] = field(default_factory=dict)
    """Added to the case's input."""
    stand_in: str = ""
    """What is not the real thing, where the real thing would endanger the machine, and why."""
    alone: bool = False
    """In a container of its own."""

    @property
    def text(self) -> str:
        """What is taken away, for people."""
        return self.removed or (self.mutation.removed if self.mutation is not None else "")


def noted(seen: Observation) -> Finding:
    """A drive of its own noticed whether it broke out: ``extra["broke"]``."""
    return Finding(broke=bool(seen.extra["broke"]), evidence=seen.extra)


def own_word(seen: Observation) -> Finding:
    """The script says itself whether it broke out. Nothing usable said: not broken, and why."""
    answer = seen.reply.answer
    said = answer.output if answer is not None else None
    if isinstance(said, dict) and isinstance(said.get("broke"), bool):
        evidence = said.get("evidence")
        missing = said.get("missing")
        return Finding(
            broke=said["broke"],
            evidence=evidence if isinstance(evidence, dict) else {},
            missing=missing if isinstance(missing, str) else None,
        )
    if isinstance(said, dict) and isinstance(said.get("unclear"), str):
        raise NoAnswerError(said["unclear"])
    raise NoAnswerError(_silence(seen))


def stopped_by_memory(seen: Observation) -> Finding:
    """The script's word; or none, because the kernel ended it for its memory."""
    if seen.reply.answer is None and seen.exit is not None and seen.exit.out_of_memory:
        return Finding(broke=False, evidence={"ended": "out of memory"})
    return own_word(seen)


def _silence(seen: Observation) -> str:
    if seen.reply.timed_out:
        return "the attack did not end in its time"
    words = seen.exit.stderr_tail if seen.exit is not None else ""
    answer = seen.reply.answer
    said = f"it said {answer.output!r}, {answer.error!r}" if answer is not None else "no answer"
    return f"the attack told nothing usable: {said} {words[-300:].strip()}".strip()


class NoAnswerError(Exception):
    """An attack told nothing that can be judged. Its row is UNPROVEN."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the catalogue."""

    id: str
    """``<group>.<name>``."""
    group: Group
    title: str
    tried: str
    """What is tried."""
    expected: str
    """What happens when the protection holds."""
    remedy: str
    """What to do when it is BROKEN."""
    control: Control
    judge: Judge = own_word
    drive: Drive | None = None
    program: str | None = None
    """Path of the script below ``attacks/`` where it is not the attack's own; empty: it has none,
    because what is attacked is the harness's reading of files."""
    given: Mapping[str, JSON] = field(default_factory=dict)
    """Added to the case's input."""
    timeout_s: float = 20.0
    exclusive: bool = False
    """Loads the machine: nothing else runs meanwhile."""

    @property
    def script(self) -> str:
        """Path of the script below ``attacks/``; empty where there is none."""
        if self.program is not None:
            return self.program
        group, _, name = self.id.partition(".")
        return f"{group}/{name.replace('-', '_')}.py"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one attack ended on one engine."""

    attack: Attack
    status: Status
    why: str
    """One sentence for people; may quote what the engine said. Untrusted."""
    evidence: Mapping[str, JSON]
    control: Mapping[str, JSON]
    """Evidence of the control."""
    duration_s: float


def decide(
    attack: Attack, struck: Finding | str, next_case: str | None, control: Finding | str
) -> tuple[Status, str]:
    """Status and reason. A text in place of a finding says why there is none.

    ``next_case``: what was wrong with the case after it, None for nothing.
    """
    if isinstance(struck, Finding) and struck.broke:
        return Status.BROKEN, attack.remedy
    if next_case is not None:
        return Status.BROKEN, f"the next case in the same lane was affected: {next_case}"
    if isinstance(struck, str):
        return Status.UNPROVEN, struck
    return _by_control(attack, control)


def _by_control(attack: Attack, control: Finding | str) -> tuple[Status, str]:
    """Of an attack that failed: whether that says something."""
    if isinstance(control, str):
        return Status.UNPROVEN, f"its control could not be run: {control}"
    if control.missing is not None:
        return Status.NOT_APPLICABLE, control.missing
    if control.broke:
        return Status.HELD, attack.expected
    why = (
        f"it fails here also without the protection ({attack.control.text}), "
        "so its failure in the sandbox proves nothing"
    )
    return Status.UNPROVEN, why
