"""What a request asks of the fake provider, by its path, in whichever format that is."""

import re
from dataclasses import dataclass
from typing import Any

_OPENAI = r"/chat/completions|/responses|/embeddings|/models"
_PATHS = (
    re.compile(rf"(?:/openai|/api)?/v1(?P<name>{_OPENAI})"),
    re.compile(rf"/openai/deployments/(?P<model>[^/?]+)(?P<name>{_OPENAI})\?api-version=[\w-]+"),
    re.compile(rf"/openai(?P<name>{_OPENAI})\?api-version=[\w-]+"),
    re.compile(r"/v1(?P<name>/messages(?:/count_tokens)?)(?:\?beta=true)?"),
    re.compile(
        r"/v1(?:beta)?/models/(?P<model>[^/:?]+):(?P<name>\w+)(?:\?(?:\$?alt=(?P<alt>sse|json)))?"
    ),
    re.compile(r"/model/(?P<model>[^/]+)/(?P<name>converse)"),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, understood."""

    name: str
    """``/chat/completions``, ``/messages``, ``generateContent``, ``converse``, ..."""
    model: str | None
    """Where the path names it."""
    events: bool
    """A stream is one of server-sent events."""

    def is_streamed(self, request: dict[str, Any]) -> bool:
        """Whether the reply comes in pieces."""
        if self.name in {"/chat/completions", "/responses", "/messages"}:
            return request.get("stream") is True
        return self.name == "streamGenerateContent"

    def output_limit(self, request: dict[str, Any]) -> int | None:
        """The limit of its output that a request sets, in the field of its format."""
        holder: Any = request
        match self.name:
            case "/chat/completions":
                names = ["max_completion_tokens", "max_tokens"]
            case "/responses":
                names = ["max_output_tokens"]
            case "/messages":
                names = ["max_tokens"]
            case "converse":
                holder, names = request.get("inferenceConfig") or {}, ["maxTokens"]
            case _:
                holder, names = request.get("generationConfig") or {}, ["maxOutputTokens"]
        return next((holder[name] for name in names if holder.get(name)), None)

    @property
    def has_output(self) -> bool:
        """Whether what is said is billed."""
        return self.name not in {"/embeddings", "embedContent", "batchEmbedContents"}

    @property
    def is_free(self) -> bool:
        """Whether nothing is billed at all."""
        return self.name in {"/models", "/messages/count_tokens", "countTokens"}


def operation_of(target: str) -> Operation | None:
    """The operation of a request's path and query; None where no provider serves it."""
    for path in _PATHS:
        if found := path.fullmatch(target):
            parts = found.groupdict()
            events = parts.get("alt") == "sse" or not parts["name"].startswith("stream")
            return Operation(parts["name"], parts.get("model"), events)
    return None


def key_of(headers: dict[str, str]) -> str | None:
    """The key that came, wherever a format puts it; ``headers`` in lower case."""
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    named = (headers.get(name) for name in ("x-api-key", "api-key", "x-goog-api-key"))
    return bearer or next((key for key in named if key), None)
