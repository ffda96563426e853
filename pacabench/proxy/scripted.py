"""The ``scripted`` provider: built in, no network, answers by rules in OpenAI's wire format.

It serves demo, tests and ``init``. Its replies go the same way as a real provider's, metering
included, and it says what it is: ``scripted`` answered by a rule, ``scripted-echo`` by none. Tokens
are counted as one per four characters unless a rule says otherwise.
"""

import asyncio
import base64
import hashlib
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from multidict import CIMultiDict

from pacabench.proxy import replies
from pacabench.proxy.openai import CHAT, EMBEDDINGS, MODELS, OpenAIFormat
from pacabench.proxy.rules import Rule, Scripted, apply_rules, compile_rules
from pacabench.proxy.upstream import Reply, UpstreamRequest

BY_RULE = "scripted"
BY_ECHO = "scripted-echo"
DIMENSIONS = 64
"""Of an embedding, unless the request says otherwise."""
MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048

_JSON = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"


class ScriptedUpstream:
    """An :class:`~pacabench.proxy.upstream.Upstream` that answers by itself.

    Raises:
        ValueError: a rule cannot be used.
    """

    def __init__(self, rules: Sequence[dict[str, Any]]) -> None:
        self._rules = compile_rules(rules)

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[Reply]:
        """Answer ``request``."""
        if request.endpoint is MODELS:
            yield _document(replies.models_body([BY_RULE, BY_ECHO], "pacabench"))
            return
        body = _request(request.body)
        if body is None:
            yield _refusal(400, "The request's body is no JSON object.")
        elif request.endpoint is EMBEDDINGS:
            yield _embeddings(body)
        else:
            yield await self._complete(request, body)

    async def _complete(self, request: UpstreamRequest, body: dict[str, Any]) -> Reply:
        message = replies.last_user_text(body)
        said = apply_rules(self._rules, message, str(body.get("model")))
        if said.rule is not None and said.rule.delay_ms:
            await asyncio.sleep(said.rule.delay_ms / 1000)
        if said.rule is not None and said.rule.status != 200:  # noqa: PLR2004 - HTTP OK
            # It would say the same again and again.
            return _refusal(said.rule.status, said.text, {"x-should-retry": "false"})
        reply = replies.Completion(
            reply_id=hashlib.blake2b(request.body, digest_size=12).hexdigest(),
            model=BY_ECHO if said.rule is None else BY_RULE,
            text=said.text,
            tokens=_tokens(body, said),
            created=int(time.time()),
        )
        if request.endpoint is CHAT:
            if body.get("stream") is not True:
                return _document(replies.chat_body(reply))
            options = body.get("stream_options")
            asked = isinstance(options, dict) and options.get("include_usage") is True
            return _stream(replies.chat_events(reply, include_usage=asked))
        if body.get("stream") is not True:
            return _document(replies.response_body(reply))
        return _stream(replies.response_events(reply))


def _tokens(body: dict[str, Any], said: Scripted) -> replies.Tokens:
    rule: Rule | None = said.rule
    usage = {} if rule is None else rule.usage
    prompt = usage.get("prompt_tokens", replies.count_tokens(replies.prompt_text(body)))
    completion = usage.get("completion_tokens", replies.count_tokens(said.text))
    return replies.Tokens(
        prompt=prompt,
        completion=completion,
        cached=min(prompt, (rule.cached_tokens if rule is not None else None) or 0),
        reasoning=min(completion, usage.get("reasoning_tokens", 0)),
    )


def _embeddings(body: dict[str, Any]) -> Reply:
    given = body.get("input")
    inputs = given if isinstance(given, list) else [given]
    # A list of numbers is one input that is tokenized already.
    if inputs and isinstance(inputs[0], int):
        inputs = [inputs]
    dimensions = body.get("dimensions", DIMENSIONS)
    if not 1 <= len(inputs) <= MAX_INPUTS or inputs[0] is None:
        return _refusal(400, f"`input` has to hold 1 to {MAX_INPUTS} texts.")
    if not isinstance(dimensions, int) or not 1 <= dimensions <= MAX_DIMENSIONS:
        return _refusal(400, f"`dimensions` has to be 1 to {MAX_DIMENSIONS}.")
    vectors = [_vector(orjson.dumps(text), dimensions) for text in inputs]
    tokens = sum(
        replies.count_tokens(text) if isinstance(text, str) else len(text)
        for text in inputs
        if isinstance(text, str | list)
    )
    encoded: Sequence[list[float] | str] = vectors
    if body.get("encoding_format") == "base64":
        encoded = [
            base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in vectors
        ]
    return _document(replies.embeddings_body(BY_RULE, encoded, tokens))


def _vector(text: bytes, dimensions: int) -> list[float]:
    """A vector of length 1 that depends on nothing but ``text``."""
    bits = hashlib.shake_128(text).digest(dimensions * 2)
    raw = [number / 32768 - 1 for number in struct.unpack(f"<{dimensions}H", bits)]
    norm = sum(number * number for number in raw) ** 0.5 or 1.0
    return [number / norm for number in raw]


def _request(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return _document(OpenAIFormat().error_body(status, message, None), status, headers)


def _document(body: bytes, status: int = 200, more: Mapping[str, str] | None = None) -> Reply:
    headers = CIMultiDict({"Content-Type": _JSON, "Content-Length": str(len(body)), **(more or {})})
    return Reply(status, headers, _each([body]))


def _stream(events: Iterable[bytes]) -> Reply:
    return Reply(200, CIMultiDict({"Content-Type": _EVENTS}), _each(events))


async def _each(parts: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part
        # Let other calls go on between the parts, as they would with a network.
        await asyncio.sleep(0)
