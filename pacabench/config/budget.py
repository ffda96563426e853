"""``budget`` and ``models``: what agents may spend, and on which models."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from pacabench.config.base import Section

DEFAULT_MAX_OUTPUT = 16_384


class Limits(Section):
    """What calls may use in all. What is left out is not limited."""

    usd: float | None = Field(default=None, gt=0, le=1e9, description="US dollars.")
    tokens: int | None = Field(
        default=None, gt=0, le=10**15, description="Input and output together."
    )
    calls: int | None = Field(
        default=None, gt=0, le=10**12, description="LLM calls that a provider may bill."
    )

    @property
    def any(self) -> bool:
        """Something is limited."""
        return self.usd is not None or self.tokens is not None or self.calls is not None


class AgentBudget(Limits):
    """What one agent may use in the whole run; and in each attempt at a case."""

    case: Limits | None = Field(
        default=None, description="In place of `budget.case` of the top level, taken whole."
    )


class BudgetConfig(Limits):
    """What the whole run may use; and each attempt at a case."""

    case: Limits = Limits()
    default_max_output: int = Field(
        default=DEFAULT_MAX_OUTPUT,
        gt=0,
        le=10_000_000,
        description="Tokens that are reserved for each answer of a call that sets no limit itself, "
        "and that it is limited to.",
    )
    default_max_input: int | None = Field(
        default=None,
        gt=0,
        le=100_000_000,
        description="Tokens that are reserved for each document, reference or provider-side tool, "
        "whose size the request does not tell. Default: such calls are refused.",
    )


def _model_pattern(text: str) -> str:
    if re.search(r"[\s?\[\]]", text):
        raise ValueError("a model's name, with `*` for any text; no blanks, `?` or brackets")
    return text


ModelPattern = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_model_pattern)
]
