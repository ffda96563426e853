"""How a judging model is asked in each provider's own API, and where its reply's text stands.

Where a reply is asked for by its schema, OpenAI's and Google's APIs have a field for that. The
others are given one tool and made to call it, and what they call it with is the reply.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import orjson

from pacabench.config.evaluators import LlmJudgeConfig
from pacabench.config.provider_names import KNOWN_PROVIDERS
from pacabench.evaluators.desk import Question

_ANSWER_TOKENS = 4096
"""Anthropic's API wants a limit."""
_AZURE_VERSION = "2024-10-21"
"""Of Azure's API: the first that is no preview and takes a schema for the reply."""
_NOT_IN_GEMINI = frozenset({"additionalProperties"})
"""Of JSON Schema; its `responseSchema` is OpenAPI's kind, in which that is no key."""


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One request, without a key."""

    path: str
    """Below the provider's name."""
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JudgeFormat:
    """One API."""

    ask: Callable[[LlmJudgeConfig, Question], JudgeRequest]
    text: Callable[[Any], Any]
    """The text of a decoded reply. Fails, or is no text, where the model said nothing."""


def format_of(kind: str) -> JudgeFormat:
    """The API that providers of ``kind`` speak."""
    return _FORMATS[kind]


def _openai(config: LlmJudgeConfig, question: Question) -> JudgeRequest:
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [
            {"role": "system", "content": question.system},
            {"role": "user", "content": question.user},
        ],
        **_given(temperature=config.temperature),
    }
    if config.structured:
        schema = {"name": "verdict", "strict": True, "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return JudgeRequest("/v1/chat/completions", body)


def _azure(config: LlmJudgeConfig, question: Question) -> JudgeRequest:
    """The model is the name of a deployment, which stands in the path."""
    path = f"/openai/deployments/{quote(config.model, safe='')}/chat/completions"
    return JudgeRequest(f"{path}?api-version={_AZURE_VERSION}", _openai(config, question).body)


def _openai_text(document: Any) -> Any:
    return document["choices"][0]["message"]["content"]


def _anthropic(config: LlmJudgeConfig, question: Question) -> JudgeRequest:
    body: dict[str, Any] = {
        "model": config.model,
        "max_tokens": _ANSWER_TOKENS,
        "system": question.system,
        "messages": [{"role": "user", "content": question.user}],
        **_given(temperature=config.temperature),
    }
    if config.structured:
        tool = {"name": "verdict", "description": "Say it.", "input_schema": question.schema}
        body |= {"tools": [tool], "tool_choice": {"type": "tool", "name": "verdict"}}
    return JudgeRequest("/v1/messages", body, {"anthropic-version": "2023-06-01"})


def _anthropic_text(document: Any) -> str:
    return _joined(
        orjson.dumps(block["input"]).decode() if block["type"] == "tool_use" else block["text"]
        for block in document["content"]
        if block["type"] in ("tool_use", "text")
    )


def _gemini(config: LlmJudgeConfig, question: Question) -> JudgeRequest:
    settings = _given(temperature=config.temperature)
    if config.structured:
        schema = _openapi(question.schema)
        settings |= {"responseMimeType": "application/json", "responseSchema": schema}
    body = {
        "systemInstruction": {"parts": [{"text": question.system}]},
        "contents": [{"role": "user", "parts": [{"text": question.user}]}],
        **({"generationConfig": settings} if settings else {}),
    }
    model = quote(config.model.removeprefix("models/"), safe="")
    return JudgeRequest(f"/v1beta/models/{model}:generateContent", body)


def _gemini_text(document: Any) -> str:
    """Thoughts that come along are no part of it."""
    parts = document["candidates"][0]["content"]["parts"]
    return _joined(part["text"] for part in parts if "text" in part and not part.get("thought"))


def _openapi(schema: Any) -> Any:
    """``schema`` as ``responseSchema`` takes it: types in capitals."""
    if isinstance(schema, list):
        return [_openapi(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.upper() if name == "type" and isinstance(value, str) else _openapi(value)
        for name, value in schema.items()
        if name not in _NOT_IN_GEMINI
    }


def _bedrock(config: LlmJudgeConfig, question: Question) -> JudgeRequest:
    settings = {"maxTokens": _ANSWER_TOKENS, **_given(temperature=config.temperature)}
    body: dict[str, Any] = {
        "system": [{"text": question.system}],
        "messages": [{"role": "user", "content": [{"text": question.user}]}],
        "inferenceConfig": settings,
    }
    if config.structured:
        tool = {
            "name": "verdict",
            "description": "Say it.",
            "inputSchema": {"json": question.schema},
        }
        body["toolConfig"] = {
            "tools": [{"toolSpec": tool}],
            "toolChoice": {"tool": {"name": "verdict"}},
        }
    return JudgeRequest(f"/model/{quote(config.model, safe='')}/converse", body)


def _bedrock_text(document: Any) -> str:
    return _joined(
        orjson.dumps(block["toolUse"]["input"]).decode() if "toolUse" in block else block["text"]
        for block in document["output"]["message"]["content"]
        if "toolUse" in block or "text" in block
    )


def _joined(texts: Iterable[str]) -> str:
    """Raises ValueError where there is none: the model said nothing."""
    found = list(texts)
    if not found:
        raise ValueError("no text")
    return "\n".join(found)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


_OPENAI_LIKE = JudgeFormat(_openai, _openai_text)
_FORMATS: Mapping[str, JudgeFormat] = MappingProxyType(
    {
        **dict.fromkeys(KNOWN_PROVIDERS, _OPENAI_LIKE),
        "anthropic": JudgeFormat(_anthropic, _anthropic_text),
        "azure_openai": JudgeFormat(_azure, _openai_text),
        "bedrock": JudgeFormat(_bedrock, _bedrock_text),
        "gemini": JudgeFormat(_gemini, _gemini_text),
    }
)
