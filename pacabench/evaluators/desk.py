"""What evaluators need while a run goes on, and do not have before: a model to ask, a container."""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from pacabench.config.evaluators import CommandConfig, LlmJudgeConfig
from pacabench.errors import EvaluatorError
from pacabench.left_files import LeftFiles
from pacabench.model import JSON, ExitFacts

ATTEMPT: ContextVar[str] = ContextVar("judged_attempt", default="")
"""Id of the attempt whose answer is being judged: what a judge costs is booked to it."""
LEFT: ContextVar[LeftFiles | None] = ContextVar("judged_files", default=None)
"""What the agent of that attempt left; None: nobody looked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a judging model is asked."""

    system: str
    user: str
    schema: dict[str, JSON]
    """Of the reply."""


AskModel = Callable[[LlmJudgeConfig, Question], Awaitable[str]]
"""Asks the configured model and returns its reply's text.

Raises:
    EvaluatorError: it could not be asked, or said nothing.
"""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a program said of an answer, and how it ended."""

    verdict: dict[str, JSON] | None
    """The first object with the code; None: it ended, or was ended, without one."""
    timed_out: bool
    exit: ExitFacts


@dataclass(frozen=True, slots=True)
class Check:
    """What a program is given."""

    message: Mapping[str, JSON]
    """With ``code``, which its verdict must repeat."""
    code: str
    left: LeftFiles | None = None
    """Files for it to read; None: its configuration asks for none."""


RunCheck = Callable[[CommandConfig, Check], Awaitable[Checked]]
"""Starts the configured program, gives it a line, and waits for an object with the code.

Raises:
    EvaluatorError: it could not be started.
"""


@dataclass(slots=True)
class Desk:
    """One per benchmark. Empty until a run sits down at it."""

    ask_model: AskModel | None = None
    run_check: RunCheck | None = None
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def code(self, *about: str) -> str:
        """64 bits that nobody could write into any of ``about``; with the same seed, the same.

        An answer would have to hold a hash of itself, also where the seed is known (that of a
        cassette is): finding one takes 2**64 tries.
        """
        return hmac.new(self.seed, json.dumps(about).encode(), "sha256").hexdigest()[:16]

    async def ask(self, config: LlmJudgeConfig, question: Question) -> str:
        """Ask the model that ``config`` names.

        Raises:
            EvaluatorError: as for :data:`AskModel`, or no run goes on.
        """
        if self.ask_model is None:
            raise EvaluatorError("no model can be asked here: no run is going on")
        return await self.ask_model(config, question)

    async def check(self, config: CommandConfig, check: Check) -> Checked:
        """Run the program of ``config``.

        Raises:
            EvaluatorError: as for :data:`RunCheck`, or no run goes on.
        """
        if self.run_check is None:
            raise EvaluatorError("no program can be run here: no run is going on")
        return await self.run_check(config, check)
