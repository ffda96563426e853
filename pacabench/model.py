"""The nouns of the domain: case, attempt, usage, call, outcome, result.

Frozen dataclasses without third-party imports, because the sidecar uses them too. Where they enter
from disk or from a pipe they are validated by pydantic (``TypeAdapter``) in the module that reads.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pacabench.billing import Billing, CallEnd, UsageSource

SCRIPTED_PROVIDER = "scripted"
"""The built-in provider that answers by rules. Named as what it is wherever results are shown."""

JSON = Any
"""A value that JSON can express: None, bool, int, float, str, list, dict with str keys."""


class Outcome(StrEnum):
    """What happened to an attempt. The only place where this is named."""

    PASSED = "passed"
    FAILED = "failed"  # a wrong answer
    AGENT_ERROR = "agent_error"  # the agent said so, or exited without an answer
    INVALID_OUTPUT = "invalid_output"  # ended cleanly, and no line was an answer
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    BUDGET_EXCEEDED = "budget_exceeded"
    PROVIDER_ERROR = "provider_error"
    SANDBOX_ERROR = "sandbox_error"
    EVALUATOR_ERROR = "evaluator_error"
    CANCELLED = "cancelled"

    @property
    def is_infrastructure(self) -> bool:
        """Not the agent's doing: retried, and never counted against accuracy."""
        return self in _INFRASTRUCTURE


_INFRASTRUCTURE = frozenset(
    {
        Outcome.PROVIDER_ERROR,
        Outcome.SANDBOX_ERROR,
        Outcome.EVALUATOR_ERROR,
        Outcome.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A file that comes with a case."""

    name: str
    """Relative, with ``/``; where it stands for the agent, below its directory of files."""
    path: str
    """On this machine, absolute."""
    digest: str
    """SHA-256 of its content when the data set was read."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question of a data set."""

    dataset: str
    case_id: str
    """Unique in its data set and the same on every load."""
    input: JSON
    expected: JSON
    """What the evaluator compares with. Never leaves the harness."""
    history: tuple[JSON, ...] = ()
    metadata: dict[str, JSON] = field(default_factory=dict)
    withheld: dict[str, JSON] = field(default_factory=dict)
    """Other columns that no agent sees: what evaluators are given besides ``expected``."""
    files: tuple[CaseFile, ...] = ()
    """What the agent finds beside its code, for this case alone."""
    hidden: bool = False
    """The agent sees an opaque id in place of ``case_id``."""
    where: str = ""
    """``file:line`` for messages."""


@dataclass(frozen=True, slots=True, order=True)
class CaseKey:
    """What a result is about: one agent, one case, one epoch. Unique within a run."""

    agent: str
    dataset: str
    case_id: str
    epoch: int = 1

    @property
    def digest(self) -> str:
        """16 hex digits that stand for this key in file names and attempt ids."""
        text = "\0".join((self.agent, self.dataset, self.case_id, str(self.epoch)))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class PlannedAttempt:
    """An attempt that has yet to be made."""

    key: CaseKey
    cases: Sequence[Case] = field(repr=False)
    """The data set's; large ones are read from disk case by case, see :attr:`case`."""
    place: int
    """Of the case in ``cases``."""
    number: int
    """1 for a case's first attempt in the run; earlier sessions count."""
    attempt_id: str
    """Unique, never reused: key digest and a nonce."""

    @property
    def case(self) -> Case:
        """What the agent is asked.

        Raises:
            DatasetError: its file is not what it was any more.
        """
        return self.cases[self.place]


def new_attempt_id(key: CaseKey) -> str:
    """An id for one attempt; the part before ``-`` is the digest of ``key``."""
    return f"{key.digest}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one LLM call in disjoint input parts. ``None`` is unknown and not zero."""

    input_tokens: int | None = None
    """Input that was neither read from nor written to a cache."""
    cached_tokens: int | None = None
    """Input read from the provider's cache."""
    cache_write_tokens: int | None = None
    """Input written to the provider's cache, for however long."""
    output_tokens: int | None = None
    """All output, reasoning included."""
    reasoning_tokens: int | None = None
    """The part of the output that was reasoning."""
    cache_write_1h_tokens: int | None = None
    """The part of ``cache_write_tokens`` that is kept for an hour, which costs more."""

    @property
    def total_input_tokens(self) -> int | None:
        """What the provider bills as input in all."""
        if self.input_tokens is None:
            return None
        return self.input_tokens + (self.cached_tokens or 0) + (self.cache_write_tokens or 0)


@dataclass(frozen=True, slots=True)
class FailedTry:
    """A try of a call that came to nothing, and after which the proxy tried again."""

    status: int | None
    """None where no reply came."""
    error: str | None
    wait_ms: float
    """From its failure to the next try."""


@dataclass(frozen=True, slots=True)
class CallRecord(Billing):
    """One logical LLM call as the proxy saw it."""

    call_id: str
    """Random, unique; makes recovery after a crash idempotent."""
    attempt_id: str
    provider: str
    endpoint: str
    """``chat.completions``, ``messages``, ``generateContent``, ... or the denied path."""
    model: str | None
    """As asked for."""
    answered_model: str | None
    status: int | None
    """HTTP status the provider gave; None when none came."""
    end: CallEnd
    stream: bool
    started_at: float
    """Unix time, seconds."""
    ttft_ms: float | None
    """Request sent to first byte of the reply's body."""
    duration_ms: float
    usage: Usage | None
    usage_source: UsageSource
    raw_usage: dict[str, JSON] | None
    request_digest: str
    """Hash of path and body: tells a repeated request from a new one."""
    request_bytes: int
    response_bytes: int
    retries: int = 0
    """Further requests that the proxy made for it."""
    error: str | None = None
    failed_tries: tuple[FailedTry, ...] = ()
    """In order; what became of the last one stands in ``status``, ``end`` and ``error``."""
    waited_ms: float = 0.0
    """Of ``duration_ms``: in the queue, and between tries."""
    sent: bool = True
    """It went to the provider at least once."""
    repeat_of: str | None = None
    """The call that this one repeats, where an SDK tried again by itself."""
    service_tier: str | None = None
    """In the provider's words, where it named one: ``flex``, ``priority``, ``batch``, ..."""
    usage_note: str | None = None
    """What is doubtful about the provider's usage: counts that do not add up."""
    estimated: bool = False
    """Part of ``usage`` was counted in the harness and is no provider's figure."""
    replay: Literal["served", "unmatched"] | None = None
    """A cassette answered it, or should have and held no answer. None: the provider was asked."""
    other_model: bool = False
    """``answered_model`` is no name of the model that was asked for."""
    reserved_tokens: int | None = None
    """What a budget had set aside for it; None where none had to be asked."""
    reserved_usd: float | None = None
    output_limit: int | None = None
    """What the proxy limited each answer of it to, for the sake of a budget: the request set no
    limit. None also where the provider did not take it."""
    is_cut: bool = False
    """It ended there; or the provider took no limit, and the budget had no room without one."""
    count: int = 1
    """More than 1: so many were denied after those that have a record each."""


@dataclass(frozen=True, slots=True)
class MeteredCall:
    """A call with what only the harness knows. One line of ``calls.jsonl``."""

    key: CaseKey
    call: CallRecord
    cost_usd: float | None
    """None when the model has no known price."""
    recovered: bool = False
    """Read from the sidecar's spool after the harness had died."""


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """How an agent's process or container ended, and what it wrote."""

    exit_code: int | None
    signal: int | None
    out_of_memory: bool
    killed: bool
    """The harness killed it (answer in, timeout, stop)."""
    stdout_bytes: int
    stderr_bytes: int
    stderr_tail: str
    """The last part of stderr, decoded with replacement; untrusted."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluator's verdict on one answer."""

    passed: bool
    score: float
    """0.0 to 1.0."""
    details: dict[str, JSON] = field(default_factory=dict)
    """What was compared, for ``show --case``."""


BudgetScope = Literal["run", "agent", "case"]
"""Whose budget it is; ``case``: that of one attempt at a case."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One finished attempt. One line of ``results.jsonl``; the last that decides counts."""

    attempt_id: str
    key: CaseKey
    number: int
    outcome: Outcome
    output: JSON
    expected: JSON
    error: str | None
    evaluation: Evaluation | None
    started_at: float
    """Unix time, seconds."""
    duration_ms: float
    """Case sent to answer read (or to the end)."""
    exit: ExitFacts | None
    log: str | None
    """File below ``logs/`` with what the agent wrote besides its answer."""
    provider_wait_ms: float | None = None
    """Of ``duration_ms``: time in which at least one of its LLM calls was under way. None where
    nobody measured it."""
    budget: BudgetScope | None = None
    """With ``budget_exceeded``: which one."""
    left: str | None = None
    """File below ``left/`` with what evaluators wanted of its work directory."""
    left_out: tuple[str, ...] = ()
    """Of what they wanted, names with the reason why it is not in there: bounded, printable."""

    @property
    def verdict(self) -> "Verdict":
        """What counts of it."""
        score = Score(self.evaluation.score) if self.evaluation is not None else None
        return Verdict(
            self.attempt_id,
            self.key,
            self.number,
            self.outcome,
            self.duration_ms,
            score,
            self.budget,
        )

    @property
    def decides(self) -> bool:
        """It says something about its case.

        An attempt that the budget of the run or of the agent cut short does not: others had spent
        it, and with a higher one the case is tried as if nothing had been.
        """
        return self.budget not in _OF_MANY_CASES


_OF_MANY_CASES = ("run", "agent")


@dataclass(frozen=True, slots=True)
class Score:
    """What counts of an :class:`Evaluation`."""

    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What counts of a :class:`CaseResult`: 100,000 of these fit where a few long answers do.

    Fields are named as there, so that the journal's lines can be read as these, too.
    """

    attempt_id: str
    key: CaseKey
    number: int
    outcome: Outcome
    duration_ms: float
    evaluation: Score | None
    budget: BudgetScope | None = None

    @property
    def decides(self) -> bool:
        """See :attr:`CaseResult.decides`."""
        return self.budget not in _OF_MANY_CASES
