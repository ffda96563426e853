"""The text in a request, whichever format it is in: the formats' names for it do not collide."""

from typing import Any

import orjson

from pacabench.proxy.excerpt import CallText, Excerpt
from pacabench.proxy.formats.parsing import json_object


def prompt_text(request: dict[str, Any]) -> str:
    """All that a request asks: the text of its messages or of its input, and its instructions."""
    names = ("instructions", "system", "systemInstruction", "system_instruction")
    parts = [_content(request.get(name)) for name in names]
    parts += [_content(message) for message in messages(request)]
    return "\n".join(part for part in parts if part)


def last_user_text(request: dict[str, Any]) -> str:
    """The text of the last message that the user (or nobody in particular) said."""
    said = [
        _content(message)
        for message in messages(request)
        if not isinstance(message, dict) or message.get("role", "user") == "user"
    ]
    return said[-1] if said else ""


def messages(request: dict[str, Any]) -> list[Any]:
    """The turns of a request: messages, an input, contents, or one content."""
    for name in ("messages", "input", "contents", "content"):
        found = request.get(name)
        if isinstance(found, str):
            return [found]
        if isinstance(found, list):
            return found
        if isinstance(found, dict):
            return [found]
    batch = request.get("requests")
    if isinstance(batch, list):
        return [item.get("content") for item in batch if isinstance(item, dict)]
    return []


def surroundings(request: dict[str, Any]) -> str:
    """What is billed as input beside the text: tools, schemas, and the calls of tools so far."""
    names = ("tools", "toolConfig", "functions", "response_format", "text", "output_config")
    found = [compact(request[name]) for name in names if request.get(name)]
    for message in messages(request):
        if not isinstance(message, dict):
            continue
        found += [
            compact(message[name])
            for name in ("tool_calls", "arguments", "output")
            if message.get(name)
        ]
        for part in _parts(message):
            found += [
                compact(part[name])
                for name in ("input", "functionCall", "functionResponse", "toolUse", "toolResult")
                if part.get(name)
            ]
            if part.get("type") == "tool_result":
                found.append(_text(part.get("content")))
    return "\n".join(found)


def compact(value: Any) -> str:
    """``value`` as short JSON; empty where it cannot be written."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""


def _content(message: Any) -> str:
    if not isinstance(message, dict):
        return _text(message)
    return _text(message.get("content", message.get("parts")))


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    found = message.get("content", message.get("parts"))
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _text(content: Any) -> str:
    """The text in a string, or in a list of parts as all APIs write it."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def call_text(call_id: str, body: bytes, said: Excerpt) -> CallText:
    """What is to be counted of a call with this request and reply."""
    request = json_object(body) or {}
    asked = Excerpt()
    asked.add(prompt_text(request))
    asked.add(surroundings(request))
    return CallText(
        call_id=call_id,
        asked=asked.text,
        asked_characters=asked.characters,
        said=said.text,
        said_characters=said.characters,
        turns=len(messages(request)),
        asked_tokens=_numbers(messages(request)),
    )


def _numbers(asked: list[Any]) -> int:
    """How many tokens there are as numbers: a text of them, or several such texts."""
    lists = [asked, *(item for item in asked if type(item) is list)]
    return sum(type(item) is int for items in lists for item in items)
