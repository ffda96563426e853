"""The ``scripted`` provider: built in, no network, answers by rules, in every wire format.

It serves demo, tests and ``init``. Its replies go the same way as a real provider's, metering
included, and it says what it is: ``scripted`` answered by a rule, ``scripted-echo`` by none. Tokens
are counted as one per four characters unless a rule says otherwise.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from multidict import CIMultiDict

from pacabench.proxy.formats.parsing import json_object
from pacabench.proxy.replies.completion import Completion, Tokens, count_tokens
from pacabench.proxy.rules import Rule, Scripted, apply_rules
from pacabench.proxy.texts import last_user_text, prompt_text
from pacabench.proxy.upstream import Reply, UpstreamRequest
from pacabench.proxy.voices import Voice, Written
from pacabench.proxy.wire import WireFormat

BY_RULE = "scripted"
BY_ECHO = "scripted-echo"

_JSON = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"


class ScriptedUpstream:
    """An :class:`~pacabench.proxy.upstream.Upstream` that answers by itself.

    Args:
        rules: the first that fits answers.
        wire: words its errors.
        voice: writes its answers, in the same format.
    """

    def __init__(self, rules: Sequence[Rule], wire: WireFormat, voice: Voice) -> None:
        self._rules = rules
        self._wire = wire
        self._voice = voice

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[Reply]:
        """Answer ``request``."""
        name, model = request.endpoint.name, request.model
        voice = self._voice
        if name == "models" and voice.models is not None:
            yield _document(voice.models([BY_RULE, BY_ECHO]))
        elif name == "models.retrieve":
            yield (
                _document(voice.model(model))
                if model in (BY_RULE, BY_ECHO) and voice.model is not None
                else self._refusal(404, "There is no such model.")
            )
        elif (body := json_object(request.body)) is None:
            yield self._refusal(400, "The request's body is no JSON object.")
        elif name in self._voice.vectors:
            try:
                yield _document(self._voice.vectors[name](body, BY_RULE))
            except ValueError as error:
                yield self._refusal(400, str(error))
        elif name in self._voice.counts:
            yield _document(self._voice.counts[name](_prompt_tokens(body)))
        else:
            yield await self._complete(request, body)

    async def _complete(self, request: UpstreamRequest, body: dict[str, Any]) -> Reply:
        model = request.model if request.model is not None else str(body.get("model"))
        said = apply_rules(self._rules, last_user_text(body), model)
        if said.rule is not None and said.rule.delay_ms:
            await asyncio.sleep(said.rule.delay_ms / 1000)
        if said.rule is not None and said.rule.status != 200:  # noqa: PLR2004 - HTTP OK
            # It would say the same again and again.
            return self._refusal(said.rule.status, said.text, {"x-should-retry": "false"})
        reply = Completion(
            reply_id=hashlib.blake2b(request.body, digest_size=12).hexdigest(),
            model=BY_ECHO if said.rule is None else BY_RULE,
            text=said.text,
            tokens=_tokens(body, said),
            created=int(time.time()),
        )
        return _sent(self._voice.answers[request.endpoint.name](reply, body, request.target))

    def _refusal(
        self, status: int, message: str, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return _document(self._wire.error_body(status, message, None), status, headers)


def _prompt_tokens(body: dict[str, Any]) -> int:
    return count_tokens(prompt_text(body))


def _tokens(body: dict[str, Any], said: Scripted) -> Tokens:
    rule: Rule | None = said.rule
    usage = {} if rule is None else rule.usage
    prompt = usage.get("prompt_tokens", _prompt_tokens(body))
    completion = usage.get("completion_tokens", count_tokens(said.text))
    return Tokens(
        prompt=prompt,
        completion=completion,
        cached=min(prompt, (rule.cached_tokens if rule is not None else None) or 0),
        reasoning=min(completion, usage.get("reasoning_tokens", 0)),
    )


def _document(body: bytes, status: int = 200, more: Mapping[str, str] | None = None) -> Reply:
    headers = CIMultiDict({"Content-Type": _JSON, "Content-Length": str(len(body)), **(more or {})})
    return Reply(status, headers, _each([body]))


def _sent(written: Written) -> Reply:
    if isinstance(written.body, bytes):
        return _document(written.body)
    kind = _EVENTS if written.events else _JSON
    return Reply(200, CIMultiDict({"Content-Type": kind}), _each(written.body))


async def _each(parts: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part
        # Let other calls go on between the parts, as they would with a network.
        await asyncio.sleep(0)
