"""Where judges' calls go: through a proxy of their own in the harness, and into books of their own.

The same gateway as agents' calls go through, so they are paced, tried again and metered as those
are; but no agent shares it, and what judges cost is in no agent's figures.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from yarl import URL

from pacabench.config.evaluators import EvaluatorConfig, LlmJudgeConfig, every_part
from pacabench.config.load import LoadedConfig
from pacabench.config.proxy import ProxyConfig
from pacabench.errors import ConfigError, EvaluatorError
from pacabench.estimate import with_estimate
from pacabench.evaluators.desk import ATTEMPT, Desk, Question
from pacabench.events import Listener, Notice
from pacabench.judge_formats import format_of
from pacabench.model import CallRecord
from pacabench.pricing import Pricer
from pacabench.providers import default_provider, provider_specs
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.excerpt import CallText
from pacabench.proxy.gateway import Gateway
from pacabench.proxy.patience import Patience
from pacabench.proxy.spool import live_spool
from pacabench.proxy.tapes import Tapes
from pacabench.proxy.terms import FREE, Ask, Asking, Ruling, Terms
from pacabench.store.spool import JUDGES

if TYPE_CHECKING:
    from pacabench.judge_client import JudgeClient

Book = Callable[[CallRecord, float | None], None]
"""Gets each call of a judge when it ends, with what it cost; must not block."""
AskFor = Callable[[Ask, Pricer], Awaitable[Ruling]]
"""Decides whether a call may go out; the pricer is that of the judge's provider."""
_BEDROCK = "bedrock"
_KEY_VARIABLE = "JUDGE_API_KEY"
_SAID_CHARS = 1000
_JSON = "application/json"
_OK = 200


@dataclass(frozen=True, slots=True)
class Rules:
    """What judges' calls are held to, and what is kept of them. By default: nothing."""

    terms: Terms = FREE
    ask: AskFor | None = None
    tapes: Tapes | None = None
    seed: bytes | None = None
    """Of the codes in their questions, where these have to be the same another time."""
    spool_dir: Path | None = None
    """Where their calls are noted before they go out, so that a kill loses none. None: nowhere."""


def judge_specs(
    loaded: LoadedConfig, evaluators: Sequence[EvaluatorConfig], *, sealed: bool = False
) -> dict[LlmJudgeConfig, ProviderSpec]:
    """The provider of every judge in ``evaluators``, at any depth.

    ``sealed`` ones are answered out of a cassette: they need no key, and have none.

    Raises:
        ConfigError: a key is not set.
    """
    judges = (part for config in evaluators for part in every_part(config))
    return {
        judge: _spec(loaded, judge, sealed=sealed)
        for judge in judges
        if isinstance(judge, LlmJudgeConfig)
    }


def _spec(loaded: LoadedConfig, judge: LlmJudgeConfig, *, sealed: bool) -> ProviderSpec:
    config = loaded.config.config
    own: dict[str, Any] = {
        key: value
        for key in ("provider", "base_url", "api_key_env")
        if (value := getattr(judge, key)) is not None
    }
    proxy = config.proxy.model_copy(update={"enabled": True})
    if own:
        known = {str(name): entry for name, entry in proxy.providers.items()}
        name = judge.provider or default_provider(proxy)
        # An entry of that name says how it is reached, unless the judge says it itself.
        entries = {name: known[name]} if own.keys() == {"provider"} and name in known else {}
        if name == _BEDROCK and not entries:  # a judge says no region of its own
            own["region"] = known[name].region if name in known else proxy.region
        proxy = ProxyConfig.model_validate({**own, "provider": name, "providers": entries})
    if judge.api_key is not None:
        proxy = proxy.model_copy(update={"api_key_env": _KEY_VARIABLE})
        loaded = replace(loaded, environ={**loaded.environ, _KEY_VARIABLE: judge.api_key})
    try:
        specs, default = provider_specs(_with(loaded, proxy), sealed=sealed)
    except ConfigError as error:
        raise ConfigError(f"{error} (for the judge, evaluator `llm_judge`)") from None
    return next(spec for spec in specs if spec.name == default)


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
    rules: Rules,
) -> AsyncIterator[None]:
    """Evaluators find on ``desk`` a model to ask, until the context ends."""
    if not specs:
        yield
        return

    def warn(text: str) -> None:
        listener(Notice("warning", text))

    async with open_judges(specs, loaded, book, warn, rules) as judges:
        desk.ask_model = judges.ask
        desk.seed = rules.seed or desk.seed
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
    rules: Rules,
) -> AsyncIterator["Judges"]:
    """Judges that can be asked until the context ends; ``book`` has every call by then."""
    from pacabench.judge_client import open_client  # noqa: PLC0415 - slow, and seldom wanted

    proxy = loaded.config.config.proxy
    patience = Patience(retry_for_s=proxy.retry_for_seconds, silence_s=proxy.silence_seconds)
    gateways: dict[LlmJudgeConfig, Gateway] = {}
    async with AsyncExitStack() as stack:
        spool = None
        if rules.spool_dir is not None:
            spool = stack.enter_context(live_spool(rules.spool_dir, JUDGES))
        for judge, spec in specs.items():
            pricer = Pricer([spec], loaded.config.prices)
            books = _Books(pricer, book)
            gateway = Gateway(
                [spec],
                spec.name,
                books.take,
                spool,
                on_notice=lambda text: notice(f"judge: {text}"),
                on_text=books.take_text,
                patience=patience,
                tapes=rules.tapes,
                on_ask=None if rules.ask is None else _asking(rules.ask, pricer),
            )
            gateways[judge] = await stack.enter_async_context(gateway)
        # The judge's own `timeout_seconds` is the only limit.
        client = await stack.enter_async_context(open_client())
        yield Judges(gateways, specs, client, rules.terms)


def _asking(ask: AskFor, pricer: Pricer) -> Asking:
    return lambda question: ask(question, pricer)


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
        client: "JudgeClient",
        terms: Terms,
    ) -> None:
        self._gateways = gateways
        self._specs = specs
        self._client = client
        self._terms = terms

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
            gateway.bind(lane, ATTEMPT.get(), key, self._terms)
            async with asyncio.timeout(config.timeout_seconds):
                return await self._call(config, question, origin, key)
        except TimeoutError:
            raise EvaluatorError(
                f"the judge {config.model} did not answer within {config.timeout_seconds:g} s"
            ) from None
        finally:
            await gateway.remove_lane(lane, grace_s=0)

    async def _call(self, config: LlmJudgeConfig, question: Question, origin: str, key: str) -> str:
        spec = self._specs[config]
        api = format_of(spec.kind)
        asked = api.ask(config, question)
        # The gateway takes the key so from everybody, and puts the provider's own where it belongs.
        headers = {**asked.headers, "Authorization": f"Bearer {key}", "Content-Type": _JSON}
        # Encoded already: a colon in a model's name has to stay as it is.
        url = URL(f"{origin}/{spec.name}{asked.path}", encoded=True)
        body = orjson.dumps(asked.body)
        status, content = await self._client.post(config.model, url, body, headers)
        if status != _OK:
            raise EvaluatorError(f"the judge {config.model}: HTTP {status}: {_said(content)}")
        try:
            text = api.text(orjson.loads(content))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            text = None
        if not isinstance(text, str):
            said = content[:200].decode(errors="replace")
            raise EvaluatorError(f"the judge {config.model} said nothing: {said}")
        return text


def _said(content: bytes) -> str:
    """The message of an error reply, in whichever form; the reply itself where there is none."""
    try:
        document = orjson.loads(content)
        error = document.get("error", document)
        text = error.get("message")
    except (ValueError, AttributeError):
        text = None
    said = text if isinstance(text, str) else content.decode(errors="replace")
    return said[:_SAID_CHARS]
