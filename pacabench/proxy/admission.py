"""Whether a call may go out: by the models that its attempt may ask for, and by its budgets."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pacabench.billing import FREE_ENDPOINTS
from pacabench.proxy.additions import NOTHING_ADDED, Addition, Additions
from pacabench.proxy.body import RequestBody
from pacabench.proxy.ceilings import bound_of
from pacabench.proxy.client import Refused
from pacabench.proxy.model_names import asked_models, is_allowed
from pacabench.proxy.record import CallDraft
from pacabench.proxy.terms import Ask, Asking, Terms
from pacabench.proxy.tools.search import Finding

OVER_BUDGET, NOT_ALLOWED = 402, 403
"""No SDK tries one of these again."""
BUDGET_EXCEEDED = "budget_exceeded"
_LISTS = frozenset({"models", "models.retrieve"})
_MODELS_SHOWN = 20


class Admission:
    """Asked by each call of an attempt, before anything of it goes out.

    Args:
        terms: what the attempt is held to.
        asking: asks the harness.
    """

    def __init__(self, terms: Terms, asking: Asking) -> None:
        self._terms = terms
        self._asking = asking
        self.asks = terms.limit_anything
        """Without that there is nothing to ask."""

    def allowed_tools(self, for_all: Collection[str]) -> Collection[str]:
        """What providers may do for the attempt; ``for_all`` where it has no list of its own."""
        own = self._terms.allow_tools
        return for_all if own is None else own

    async def admit(
        self, draft: CallDraft, asked: RequestBody, beyond: Sequence[Finding]
    ) -> Additions:
        """Return when the call may go out; ``draft`` then says what was reserved for it.

        That is with the limit of its output that is returned, where it has none itself. ``beyond``
        is what the provider would do by itself for it.

        Raises:
            Refused: it may not.
        """
        if draft.endpoint in _LISTS:
            return NOTHING_ADDED
        self._check_models(draft, asked.said)
        if not self._terms.budgeted or draft.endpoint in FREE_ENDPOINTS:
            return NOTHING_ADDED
        return await self._reserve(draft, asked, [f"{it.tool} at {it.where}" for it in beyond])

    def _check_models(self, draft: CallDraft, request: Mapping[str, Any]) -> None:
        allowed = self._terms.models
        if allowed is None:
            return
        for model in asked_models(draft.model, request):
            if not is_allowed(model, allowed):
                listed = ", ".join(allowed[:_MODELS_SHOWN])
                asked = "A request that names no model" if model is None else f"Model {model!r}"
                raise Refused(
                    NOT_ALLOWED,
                    f"{asked} is not allowed in this benchmark. Allowed: {listed}.",
                    "model_not_allowed",
                )

    async def _reserve(
        self, draft: CallDraft, asked: RequestBody, beyond: Sequence[str]
    ) -> Additions:
        bound = bound_of(draft.provider, draft.endpoint, asked, self._terms, beyond)
        output = bound.output
        ruling = await self._asking(
            Ask(
                draft.call_id,
                draft.attempt_id,
                draft.provider,
                draft.model,
                bound.input_tokens,
                output.total,
                bound.doubt,
                output.least_total,
            )
        )
        if ruling.refusal is not None:
            raise Refused(OVER_BUDGET, ruling.refusal, BUDGET_EXCEEDED)
        draft.reserved_tokens = ruling.reserved_tokens
        draft.reserved_usd = ruling.reserved_usd
        if ruling.output_tokens is None or not output.open_at:
            return NOTHING_ADDED
        most = output.most_within(ruling.output_tokens)
        limits = [Addition(it, most, is_new=it[0] not in asked.said) for it in output.open_at]
        return Additions(limits=limits, output_limit=most, is_needed=ruling.is_narrowed)
