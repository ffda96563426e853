"""Where judges' calls go: through a proxy of their own in the harness, and into books of their own.

The same gateway as agents' calls go through, so they are paced, tried again and metered as those
are; but no agent shares it, and what judges cost is in no agent's figures.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import orjson

from pacabench.config.evaluators import EvaluatorConfig, LlmJudgeConfig, every_part
from pacabench.config.load import LoadedConfig
from pacabench.config.proxy import ProxyConfig
from pacabench.errors import ConfigError, EvaluatorError
from pacabench.estimate import with_estimate
from pacabench.evaluators.desk import ATTEMPT, Desk, Question
from pacabench.events import Listener, Notice
from pacabench.model import CallRecord
from pacabench.pricing import Pricer
from pacabench.providers import provider_specs
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.excerpt import CallText
from pacabench.proxy.gateway import Gateway
from pacabench.proxy.patience import Patience

Book = Callable[[CallRecord, float | None], None]
"""Gets each call of a judge when it ends, with what it cost; must not block."""
ANTHROPIC = "anthropic"
OPENAI_LIKE = frozenset(
    [
        "openai",
        "mistral",
        "deepseek",
        "groq",
        "openrouter",
        "together",
        "ollama",
        "vllm",
        "scripted",
    ]
)
_KEY_VARIABLE = "JUDGE_API_KEY"
_MAX_REPLY_BYTES = 4 * 1024**2
_ANSWER_TOKENS = 4096
_OK = 200


def judge_specs(
    loaded: LoadedConfig, evaluators: Sequence[EvaluatorConfig]
) -> dict[LlmJudgeConfig, ProviderSpec]:
    """The provider of every judge in ``evaluators``, at any depth.

    Raises:
        ConfigError: a key is not set, or no judge can be asked there.
    """
    judges = (part for config in evaluators for part in every_part(config))
    return {judge: _spec(loaded, judge) for judge in judges if isinstance(judge, LlmJudgeConfig)}


def _spec(loaded: LoadedConfig, judge: LlmJudgeConfig) -> ProviderSpec:
    config = loaded.config.config
    own: dict[str, Any] = {
        key: value
        for key in ("provider", "base_url", "api_key_env")
        if (value := getattr(judge, key)) is not None
    }
    proxy = config.proxy.model_copy(update={"enabled": True})
    if own:
        known = {str(name): entry for name, entry in proxy.providers.items()}
        name = judge.provider or provider_specs(_with(loaded, proxy))[1]
        # An entry of that name says how it is reached, unless the judge says it itself.
        entries = {name: known[name]} if own.keys() == {"provider"} and name in known else {}
        proxy = ProxyConfig.model_validate({**own, "provider": name, "providers": entries})
    if judge.api_key is not None:
        proxy = proxy.model_copy(update={"api_key_env": _KEY_VARIABLE})
        loaded = replace(loaded, environ={**loaded.environ, _KEY_VARIABLE: judge.api_key})
    try:
        specs, default = provider_specs(_with(loaded, proxy))
    except ConfigError as error:
        raise ConfigError(
            f"{error} (for the judge, evaluator `llm_judge`: a provider is asked for its verdicts "
            "also when a run is replayed)"
        ) from None
    spec = next(spec for spec in specs if spec.name == default)
    if spec.kind != ANTHROPIC and spec.kind not in OPENAI_LIKE:
        raise ConfigError(
            f"{loaded.path}: evaluator `llm_judge` cannot ask {spec.name}: it speaks OpenAI's and "
            "Anthropic's API; name another `provider`"
        )
    return spec


def _with(loaded: LoadedConfig, proxy: ProxyConfig) -> LoadedConfig:
    inner = loaded.config.config.model_copy(update={"proxy": proxy})
    return replace(loaded, config=loaded.config.model_copy(update={"config": inner}))


@asynccontextmanager
async def open_desk(
    desk: Desk,
    specs: Mapping[LlmJudgeConfig, ProviderSpec],
    loaded: LoadedConfig,
    book: Book,
    listener: Listener,
) -> AsyncIterator[None]:
    """Evaluators find on ``desk`` a model to ask, until the context ends."""
    if not specs:
        yield
        return

    def warn(text: str) -> None:
        listener(Notice("warning", text))

    async with open_judges(specs, loaded, book, warn) as judges:
        desk.ask_model = judges.ask
        try:
            yield
        finally:
            desk.ask_model = None


@asynccontextmanager
async def open_judges(
    specs: Mapping[LlmJudgeConfig, ProviderSpec],
    loaded: LoadedConfig,
    book: Book,
    notice: Callable[[str], None],
) -> AsyncIterator["Judges"]:
    """Judges that can be asked until the context ends; ``book`` has every call by then."""
    proxy = loaded.config.config.proxy
    patience = Patience(retry_for_s=proxy.retry_for_seconds, silence_s=proxy.silence_seconds)
    gateways: dict[LlmJudgeConfig, Gateway] = {}
    async with AsyncExitStack() as stack:
        for judge, spec in specs.items():
            books = _Books(Pricer([spec], loaded.config.prices), book)
            gateway = Gateway(
                [spec],
                spec.name,
                books.take,
                None,
                on_notice=lambda text: notice(f"judge: {text}"),
                on_text=books.take_text,
                patience=patience,
            )
            gateways[judge] = await stack.enter_async_context(gateway)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Judges(gateways, specs, session)


class _Books:
    """Prices calls, and counts what a provider did not."""

    def __init__(self, pricer: Pricer, book: Book) -> None:
        self._pricer = pricer
        self._book = book
        self._texts: dict[str, CallText] = {}

    def take_text(self, text: CallText) -> None:
        self._texts[text.call_id] = text

    def take(self, call: CallRecord) -> None:
        text = self._texts.pop(call.call_id, None)
        counted = call if text is None else with_estimate(call, text)
        self._book(counted, self._pricer.cost(counted))


class Judges:
    """Asks judging models, each by its provider's gateway."""

    def __init__(
        self,
        gateways: Mapping[LlmJudgeConfig, Gateway],
        specs: Mapping[LlmJudgeConfig, ProviderSpec],
        session: aiohttp.ClientSession,
    ) -> None:
        self._gateways = gateways
        self._specs = specs
        self._session = session

    async def ask(self, config: LlmJudgeConfig, question: Question) -> str:
        """See :data:`~pacabench.evaluators.desk.AskModel`. A lane of its own for each call."""
        gateway = self._gateways[config]
        lane, key = secrets.token_hex(8), f"sk-judge-{secrets.token_hex(16)}"
        listener = socket.create_server(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            await gateway.add_lane(lane, listener)
        except BaseException:
            listener.close()
            raise
        try:
            gateway.bind(lane, ATTEMPT.get(), key)
            async with asyncio.timeout(config.timeout_seconds):
                return await self._call(config, question, origin, key)
        except TimeoutError:
            raise EvaluatorError(
                f"the judge {config.model} did not answer within {config.timeout_seconds:g} s"
            ) from None
        except aiohttp.ClientError as error:
            raise EvaluatorError(f"the judge {config.model} cannot be asked: {error}") from error
        finally:
            await gateway.remove_lane(lane, grace_s=0)

    async def _call(self, config: LlmJudgeConfig, question: Question, origin: str, key: str) -> str:
        anthropic = self._specs[config].kind == ANTHROPIC
        make = _anthropic_request if anthropic else _openai_request
        path, headers, body = make(config, question, key)
        headers["Content-Type"] = "application/json"
        async with self._session.post(
            origin + path, data=orjson.dumps(body), headers=headers
        ) as reply:
            content = await reply.content.read(_MAX_REPLY_BYTES)
            if reply.status != _OK:
                said = content[:500].decode(errors="replace")
                raise EvaluatorError(f"the judge {config.model}: HTTP {reply.status}: {said}")
        try:
            document = orjson.loads(content)
            text = _anthropic_text(document) if anthropic else _openai_text(document)
        except (ValueError, KeyError, TypeError, IndexError):
            text = None
        if not isinstance(text, str):
            said = content[:200].decode(errors="replace")
            raise EvaluatorError(f"the judge {config.model} said nothing: {said}")
        return text


def _openai_request(
    config: LlmJudgeConfig, question: Question, key: str
) -> tuple[str, dict[str, str], dict[str, Any]]:
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [
            {"role": "system", "content": question.system},
            {"role": "user", "content": question.user},
        ],
    }
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if config.structured:
        schema = {"name": "verdict", "strict": True, "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body


def _openai_text(document: Any) -> Any:
    return document["choices"][0]["message"]["content"]


def _anthropic_request(
    config: LlmJudgeConfig, question: Question, key: str
) -> tuple[str, dict[str, str], dict[str, Any]]:
    body: dict[str, Any] = {
        "model": config.model,
        "max_tokens": _ANSWER_TOKENS,
        "system": question.system,
        "messages": [{"role": "user", "content": question.user}],
    }
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if config.structured:
        tool = {"name": "verdict", "description": "Say it.", "input_schema": question.schema}
        body |= {"tools": [tool], "tool_choice": {"type": "tool", "name": "verdict"}}
    return "/v1/messages", {"x-api-key": key, "anthropic-version": "2023-06-01"}, body


def _anthropic_text(document: Any) -> str:
    """All texts, and the input of the tool that stands for a structured reply."""
    parts = [
        orjson.dumps(block["input"]).decode() if block["type"] == "tool_use" else block["text"]
        for block in document["content"]
        if block["type"] in ("tool_use", "text")
    ]
    return "\n".join(parts)
