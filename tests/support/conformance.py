"""The conformance matrix: every format that the proxy serves, and what it reads there of usage.

``python tests/support/conformance.py`` prints docs/conformance.md. The tests run every row.
"""

import sys
from dataclasses import dataclass, field
from typing import Any

import sdk_calls

from pacabench.config.provider_names import KNOWN_PROVIDERS
from pacabench.model import Usage
from pacabench.proxy.base_url import normalise_base_url
from pacabench.proxy.control import ProviderSpec
from pacabench.testing import Tokens

TEXT = "Hé, the answer is forty two."
TOKENS = Tokens(
    prompt=1200, completion=345, cached=1024, reasoning=128, cache_write=100, cache_write_1h=40
)
SAY = [{"role": "user", "content": "What is six times seven?"}]
CHAT = {"model": "m-1", "messages": SAY}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "What is six times seven?"}]}]}

_FULL = Usage(76, 1024, 100, 345, 128)
_NO_WRITES = Usage(176, 1024, None, 345, 128)
_ANTHROPIC = Usage(76, 1024, 100, 345, None, 40)


@dataclass(frozen=True)
class Row:
    """One way to ask, and what is recorded."""

    kind: str
    """Of the provider."""
    api: str
    path: str
    """Below the proxy's origin."""
    body: dict[str, Any]
    endpoint: str
    usage: Usage | None
    where: str
    """Of the usage, for the table."""
    variant: str = "usual"
    upstream: str = ""
    """As the provider sees it, where that is another path."""
    stream: bool = False
    events: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        mode = ("sse" if self.events else "array") if self.stream else "whole"
        said = "" if self.variant == "usual" else f" ({self.variant})"
        return f"{self.kind} {self.api}{said} {mode}"


def _chat(kind: str, usage: Usage | None, where: str, *, variant: str, root: str = "") -> list[Row]:
    body = CHAT | {"stream": True}
    if variant in {"usual", "null choices"}:
        body["stream_options"] = {"include_usage": True}
    path = "/v1/chat/completions"
    upstream = f"{root or '/v1'}/chat/completions"
    shared = {"variant": variant, "upstream": upstream}
    return [
        Row(kind, "chat completions", path, CHAT, "chat.completions", usage, "`usage`", **shared),
        Row(kind, "chat completions", path, body, "chat.completions", usage, where, stream=True,
            **shared),
    ]  # fmt: skip


def _pair(
    kind: str,
    api: str,
    path: str,
    body: dict[str, Any],
    endpoint: str,
    usage: Usage,
    where: str,
    **more: Any,
) -> list[Row]:
    whole = "`usage`"
    streamed = body | {"stream": True}
    return [
        Row(kind, api, path, body, endpoint, usage, whole, **more),
        Row(kind, api, path, streamed, endpoint, usage, where, stream=True, **more),
    ]


FAULTS = [
    ("429, 500, 503 or 529, then an answer", "the answer, byte for byte",
     "one call, one retry, exact"),
    ("no answer: the connection breaks, then one", "the answer, byte for byte", "the same"),
    ("silence", "502", "asked once, usage unknown"),
    ("gzip, br or zstd that nobody asked for", "the plain bytes", "exact"),
    ("comments and pings between events", "every byte of them", "exact"),
    ("the agent hangs up after the first byte", "-", "read to its end: exact"),
    ("the provider breaks off in mid-stream", "a connection that breaks off",
     "what was told, as `partial_provider`; the rest is estimated, and never 0"),
    ("the stream is cut at every byte; LF, CR LF, CR", "every byte", "exact"),
]  # fmt: skip
_VERSION = {"anthropic-version": "2023-06-01"}
_AZURE = "/openai/deployments/m-1/chat/completions?api-version=2024-10-21"
_GEMINI = "`usageMetadata` of the last chunk"

ROWS: list[Row] = [
    *_chat("openai", _FULL, "the chunk that `include_usage` adds", variant="usual"),
    *_pair("openai", "responses", "/v1/responses", {"model": "m-1", "input": "six"}, "responses",
           _FULL, "`response.completed`, `.incomplete`, `.failed`"),
    Row("openai", "embeddings", "/v1/embeddings", {"model": "m-1", "input": "six"}, "embeddings",
        Usage(1200, None, None, 0), "`usage`"),
    _chat("openai", _FULL, "a chunk with `choices: null`", variant="null choices")[1],
    *_chat("openai", None, "nowhere: estimated", variant="none"),
    *_pair("azure_openai", "chat completions", _AZURE,
           CHAT | {"stream_options": {"include_usage": True}}, "chat.completions", _FULL,
           "the chunk that `include_usage` adds"),
    *_pair("azure_openai", "chat completions v1", "/openai/v1/chat/completions",
           CHAT | {"stream_options": {"include_usage": True}}, "chat.completions", _FULL,
           "the chunk that `include_usage` adds"),
    *_pair("anthropic", "messages", "/v1/messages", CHAT | {"max_tokens": 9}, "messages",
           _ANTHROPIC, "`message_start`, replaced by `message_delta` field by field",
           headers=_VERSION),
    Row("anthropic", "count_tokens", "/v1/messages/count_tokens", CHAT, "messages.count_tokens",
        None, "free", headers=_VERSION),
    Row("gemini", "generateContent", "/v1beta/models/m-1:generateContent", CONTENTS,
        "generateContent", _NO_WRITES, "`usageMetadata`"),
    Row("gemini", "generateContent", "/models/m-1:generateContent", CONTENTS, "generateContent",
        _NO_WRITES, "`usageMetadata`", variant="no version",
        upstream="/v1beta/models/m-1:generateContent"),
    Row("gemini", "streamGenerateContent", "/v1/models/m-1:streamGenerateContent?alt=sse",
        CONTENTS, "streamGenerateContent", _NO_WRITES, _GEMINI, stream=True),
    Row("gemini", "streamGenerateContent", "/v1beta/models/m-1:streamGenerateContent", CONTENTS,
        "streamGenerateContent", _NO_WRITES, _GEMINI, stream=True, events=False),
    Row("gemini", "embedContent", "/v1beta/models/m-1:embedContent",
        {"content": CONTENTS["contents"][0]}, "embedContent", None, "nowhere: estimated"),
    Row("gemini", "batchEmbedContents", "/v1beta/models/m-1:batchEmbedContents",
        {"requests": [{"content": CONTENTS["contents"][0]}]}, "batchEmbedContents", None,
        "nowhere: estimated"),
    *_chat("mistral", _FULL, "the last chunk with a choice, unasked", variant="mistral"),
    *_chat("deepseek", _NO_WRITES, "`prompt_cache_hit_tokens` on the last chunk",
           variant="deepseek"),
    *_chat("groq", _FULL, "`x_groq.usage` on the last chunk", variant="groq", root="/openai/v1"),
    *_chat("openrouter", _FULL, "the last chunk, unasked, with its `cost`", variant="openrouter",
           root="/api/v1"),
    *_chat("together", _FULL, "the last chunk with a choice", variant="together"),
    *_chat("ollama", _FULL, "the chunk that `include_usage` adds", variant="usual"),
    *_chat("vllm", _FULL, "every chunk; the last one counts", variant="continuous"),
    Row("bedrock", "Converse", "/model/anthropic.m-1%3A0/converse",
        {"messages": [{"role": "user", "content": [{"text": "six"}]}]}, "converse",
        Usage(76, 1024, 100, 345), "`usage`"),
]  # fmt: skip


def spec_of(kind: str, origin: str, key: str) -> ProviderSpec:
    """A fake provider at ``origin`` as one of ``kind``."""
    known = KNOWN_PROVIDERS[kind]
    url = normalise_base_url(origin, root=known.root, suffixes=known.suffixes)
    return ProviderSpec(kind, kind, url, key)


def rendered() -> str:
    """docs/conformance.md."""
    lines = [
        "# Conformance",
        "",
        "Made by `python tests/support/conformance.py`; a test keeps it in step. Each row is run",
        "against a provider that keeps books: what is recorded equals what was billed, token by",
        "token, and the bytes that reach the agent are those that the provider sent, by hash.",
        "Streams of events also run with LF, CR LF and CR as line ends, cut at every byte.",
        "",
        "| provider | API | mode | usage stands in | recorded parts |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        mode = ("events" if row.events else "growing array") if row.stream else "document"
        said = f" ({row.variant})" if row.variant == "no version" else ""
        lines.append(
            f"| {row.kind} | {row.api}{said} | {mode} | {row.where} | {_parts(row.usage)} |"
        )
    lines += [
        "",
        "## Faults",
        "",
        "Each row is also run under each of these, as far as it has events to break.",
        "",
        "| fault | the agent gets | what is recorded |",
        "|---|---|---|",
        *(f"| {fault} | {gets} | {recorded} |" for fault, gets, recorded in FAULTS),
        "",
        "## From inside a lane",
        "",
        "Each row above is also asked from inside a container's lane; what arrives there is again",
        "what was sent, by hash. And these SDKs and frameworks, in such a container and told",
        "nothing but the variables that every agent finds, are counted to the token.",
        "",
        *sdk_calls.rendered(),
    ]
    return "\n".join(lines) + "\n"


def _parts(usage: Usage | None) -> str:
    if usage is None:
        return "-"
    named = {
        "input": usage.input_tokens,
        "cached": usage.cached_tokens,
        "cache write": usage.cache_write_tokens,
        "of it 1 h": usage.cache_write_1h_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.reasoning_tokens,
    }
    return ", ".join(name for name, value in named.items() if value is not None)


if __name__ == "__main__":
    sys.stdout.write(rendered())
