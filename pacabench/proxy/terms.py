"""What the calls of an attempt are held to, and the question that a budget is asked before each.

The proxy asks, the harness decides: prices are there, and so are the books of the whole run. Where
neither models nor budgets are limited, nothing is asked and nothing is read for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

DEFAULT_MAX_OUTPUT = 16_384


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one attempt."""

    models: list[str] | None = None
    """Which it may ask for; ``*`` stands for any text. None: all."""
    budgeted: bool = False
    """Each call that may be billed has to be asked for."""
    default_max_output: int = DEFAULT_MAX_OUTPUT
    """Tokens that each answer is limited to where a request sets no limit."""
    default_max_input: int | None = None
    """Tokens of each part of a request whose size it does not tell. None: it is refused."""
    allow_tools: list[str] | None = None
    """Of ``provider_tools.PROVIDER_TOOLS``: what a provider may do beside answering. None: what it
    may do for all."""

    @property
    def limit_anything(self) -> bool:
        """A request has to be looked into."""
        return self.budgeted or self.models is not None


FREE = Terms()


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that may be billed is about to go out."""

    call_id: str
    attempt_id: str
    provider: str
    model: str | None
    input_tokens: int | None
    """It has no more than these; None: nobody can tell, for the reason in ``doubt``."""
    output_tokens: int
    doubt: str | None = None
    least_output_tokens: int | None = None
    """It can be limited to as few as these. None: ``output_tokens`` is what it is."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer to an ``Ask``, sooner or later."""

    call_id: str
    refusal: str | None = None
    """Why it may not go out, for whoever reads the agent's log."""
    reserved_tokens: int | None = None
    reserved_usd: float | None = None
    output_tokens: int | None = None
    """What all of its output has to be limited to. None: tokens and dollars are not limited."""
    is_narrowed: bool = False
    """That is less than was asked for, because there is no room for more."""


Asking = Callable[[Ask], Awaitable[Ruling]]
"""Returns once it is decided. Cancelled when the agent leaves; what was reserved meanwhile is given
back when the call's record is taken."""
