"""How long the answer to a request may get: the limit in it, or the place where one has to stand.

A limit is one where this endpoint heeds it; providers pass over fields that they do not know. What
limits nothing (null, 0, -1, no number) counts as none: there are servers that take it for "all".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pacabench.billing import EMBEDDING_ENDPOINTS
from pacabench.proxy.additions import Path

LEAST_OUTPUT = 1024
"""Tokens of an answer that are worth a call: with room for less it is refused."""

_REFUSALS = frozenset({400, 422})
_NAMES_LIMIT = re.compile(
    rb"max(?:imum)?[ _-]*(?:output|completion|new|generated)?[ _-]*tokens?|maxOutputTokens"
    rb"|context[ _](?:length|window)",
    re.IGNORECASE,
)
"""How providers refuse one: as unknown, as more than the model can say, or as more than is left of
its context. Bedrock: "The maximum tokens you requested exceeds the model limit of 4096"."""
_ONLY_MAX_TOKENS = frozenset({"mistral", "deepseek", "together", "ollama"})
"""They do not document ``max_completion_tokens``."""
_NEWER_NAME = frozenset({"openai", "azure_openai"})
"""Their newer models refuse ``max_tokens``."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a request says of the length of its answers. All figures are tokens."""

    most: int
    """Of each answer: its limit, or what it is to be limited to."""
    answers: int = 1
    beside: int = 0
    """Of each answer, what is billed as output and is under no limit."""
    open_at: Sequence[Path] = field(default_factory=list)
    """Where ``most`` has to be put for it to hold. Empty: it does so already, or there is none."""
    least: int | None = None
    """``most`` may be as low as this. None: it is the agent's own."""

    @property
    def total(self) -> int:
        """Of all answers together."""
        return self.answers * (self.most + self.beside)

    @property
    def least_total(self) -> int | None:
        """The same with ``least``."""
        return None if self.least is None else self.answers * (self.least + self.beside)

    def most_within(self, total: int) -> int:
        """What each answer is to be limited to, so that all together have ``total``."""
        return total // self.answers - self.beside


def refuses_limit(status: int, body: bytes) -> bool:
    """An error reply may mean that the limit is not taken.

    Where it means something else, the same request without the limit is refused as well.
    """
    return status in _REFUSALS and _NAMES_LIMIT.search(body) is not None


def output_of(provider: str, endpoint: str, request: Mapping[str, Any], default: int) -> Output:
    """What ``request`` says, with ``default`` tokens for each answer where it sets no limit."""
    if endpoint in EMBEDDING_ENDPOINTS:
        return Output(0)
    match endpoint:
        case "chat.completions":
            return _chat(provider, request, default)
        case "responses":
            return _limited(request, (), ["max_output_tokens"], default)
        case "messages":  # a message has to say max_tokens
            return Output(_limited(request, (), ["max_tokens"], default).most)
        case "converse":
            return _converse(request, default)
        case _:
            return _gemini(request, default)


def _chat(provider: str, request: Mapping[str, Any], default: int) -> Output:
    names = ["max_tokens"]
    if provider in _NEWER_NAME:
        names = ["max_completion_tokens", "max_tokens"]
    elif provider not in _ONLY_MAX_TOKENS:
        names = ["max_tokens", "max_completion_tokens"]
    thoughts = _count(_mapping(request.get("reasoning")).get("max_tokens"), 0)
    return _limited(
        request,
        (),
        names,
        default + thoughts,
        answers=max(_count(request.get("n"), 1), _count(request.get("best_of"), 1)),
        beside=len(str(request["prediction"])) if request.get("prediction") else 0,
    )


def _converse(request: Mapping[str, Any], default: int) -> Output:
    more = _mapping(request.get("additionalModelRequestFields"))
    thinking = (_mapping(more.get(name)) for name in ("thinking", "reasoning_config"))
    default += max(_count(it.get("budget_tokens"), 0) for it in thinking)
    holder = _mapping(request.get("inferenceConfig"))
    found = _limited(holder, ("inferenceConfig",), ["maxTokens"], default)
    others = [_count(value, 0) for name, value in more.items() if "max" in name]
    if not any(others):
        return found
    return Output(max(found.most, *others), open_at=found.open_at)


def _gemini(request: Mapping[str, Any], default: int) -> Output:
    """Both spellings of every name are understood there."""
    outer = "generation_config" if "generation_config" in request else "generationConfig"
    config = _mapping(request.get(outer))
    thinking = _mapping(config.get("thinkingConfig", config.get("thinking_config")))
    thoughts = (thinking.get(name) for name in ("thinkingBudget", "thinking_budget"))
    return _limited(
        config,
        (outer,),
        ["maxOutputTokens", "max_output_tokens"],
        default + max(_count(value, 0) for value in thoughts),
        answers=max(_count(config.get(name), 1) for name in ("candidateCount", "candidate_count")),
    )


def _limited(
    holder: Mapping[str, Any],
    path: Path,
    names: list[str],
    default: int,
    *,
    answers: int = 1,
    beside: int = 0,
) -> Output:
    """The largest of the limits that ``holder``, at ``path``, has under ``names``.

    Where there is none, one belongs under the first name, or in the place of what limits nothing.
    """
    given = {name: _count(holder[name], 0) for name in names if holder.get(name) is not None}
    good = [count for count in given.values() if count]
    idle = [name for name, count in given.items() if not count]
    if good and not idle:
        return Output(max(good), answers, beside)
    open_at = [(*path, name) for name in idle or names[:1]]
    if good:
        return Output(max(default, *good), answers, beside, open_at)
    return Output(default, answers, beside, open_at, min(default, LEAST_OUTPUT))


def _count(value: Any, otherwise: int) -> int:
    """A number of tokens as a JSON number, or as the text that Google takes as well."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:18])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**15:
        return otherwise
    return int(-(-value // 1))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
