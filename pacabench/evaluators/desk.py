"""What evaluators need while a run goes on, and do not have before: a model to ask, a container."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from pacabench.config.evaluators import LlmJudgeConfig
from pacabench.errors import EvaluatorError
from pacabench.model import JSON

ATTEMPT: ContextVar[str] = ContextVar("judged_attempt", default="")
"""Id of the attempt whose answer is being judged: what a judge costs is booked to it."""


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


@dataclass(slots=True)
class Desk:
    """One per benchmark. Empty until a run sits down at it."""

    ask_model: AskModel | None = None

    async def ask(self, config: LlmJudgeConfig, question: Question) -> str:
        """Ask the model that ``config`` names.

        Raises:
            EvaluatorError: as for :data:`AskModel`, or no run goes on.
        """
        if self.ask_model is None:
            raise EvaluatorError("no model can be asked here: no run is going on")
        return await self.ask_model(config, question)
