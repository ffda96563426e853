"""Which LLM calls may be billed, and of which the tokens are known.

No third-party imports, because the sidecar uses it too.
"""

from typing import Literal, Protocol

FREE_ENDPOINTS = frozenset({"models", "models.retrieve", "messages.count_tokens", "countTokens"})
EMBEDDING_ENDPOINTS = frozenset({"embeddings", "embedContent", "batchEmbedContents"})
"""Their replies have no output to count."""

UsageSource = Literal["provider", "partial_provider", "estimated", "none"]
CallEnd = Literal[
    "complete",  # the reply went through to its end
    "client_gone",  # the agent hung up or was killed first
    "upstream_error",  # could not connect, or the provider broke off
    "interrupted",  # the proxy died under it: nothing more is known
    "denied",  # the proxy refused; the provider never saw it
]

_SUCCESS = range(200, 300)
_SERVER_FAULT = 500
_PROVIDER_FAULTS = frozenset({401, 402, 403, 407, 408, 409, 425, 429})


class Tokens(Protocol):
    """What has to be known of a call's usage."""

    @property
    def total_input_tokens(self) -> int | None:
        """What the provider bills as input in all."""

    @property
    def output_tokens(self) -> int | None:
        """All output."""


class Billing:
    """Of a call on record, in full or in what counts of it."""

    __slots__ = ()

    @property
    def is_free(self: "Billable") -> bool:
        """An operation that no provider bills: lists of models, token counts."""
        return self.endpoint in FREE_ENDPOINTS

    @property
    def may_be_billed(self: "Billable") -> bool:
        """The provider served it, or may have: what `calls` counts wherever it is shown.

        Not billed: what the proxy denied, what the provider refused or never answered, what never
        went out, and operations that are free. A call that the agent or the harness left before the
        reply's head counts.
        """
        if self.end == "denied" or self.endpoint in FREE_ENDPOINTS or not self.sent:
            return False
        if self.status is None:
            return self.end in ("client_gone", "interrupted")
        return self.status in _SUCCESS

    @property
    def is_counted(self: "Billable") -> bool:
        """Its tokens are known. Embeddings have no output to count."""
        if self.usage is None or self.usage.total_input_tokens is None:
            return False
        return self.usage.output_tokens is not None or self.endpoint in EMBEDDING_ENDPOINTS

    @property
    def is_provider_failure(self: "Billable") -> bool:
        """The provider, its key or the way to it failed; not the agent's request."""
        if self.end == "upstream_error":
            return True
        if self.status is None:
            return False
        return self.status in _PROVIDER_FAULTS or self.status >= _SERVER_FAULT


class Billable(Protocol):
    """The fields that :class:`Billing` goes by."""

    @property
    def endpoint(self) -> str:
        """See :class:`~pacabench.model.CallRecord`, as for the others."""

    @property
    def end(self) -> CallEnd:
        """How it ended."""

    @property
    def status(self) -> int | None:
        """HTTP status of the provider."""

    @property
    def sent(self) -> bool:
        """It went out."""

    @property
    def usage(self) -> Tokens | None:
        """What it used."""
