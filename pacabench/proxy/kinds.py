"""The kinds of providers: which format each speaks, and how it is reached."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from pacabench.proxy import voices
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.formats.anthropic import AnthropicFormat
from pacabench.proxy.formats.azure_openai import AzureOpenAIFormat
from pacabench.proxy.formats.bedrock import BedrockFormat
from pacabench.proxy.formats.gemini import GeminiFormat
from pacabench.proxy.formats.openai import OpenAIFormat
from pacabench.proxy.outbound.http import HttpUpstream, SignedUpstream
from pacabench.proxy.outbound.pool import Session
from pacabench.proxy.replay import SealedUpstream
from pacabench.proxy.rules import compile_rules
from pacabench.proxy.scripted import ScriptedUpstream
from pacabench.proxy.sigv4 import Credentials
from pacabench.proxy.upstream import Upstream
from pacabench.proxy.wire import WireFormat

SCRIPTED = "scripted"
_ANY_REGION = "us-east-1"
_FORMATS: Mapping[str, Callable[[], WireFormat]] = MappingProxyType(
    {
        "openai": OpenAIFormat,
        "azure_openai": AzureOpenAIFormat,
        "anthropic": AnthropicFormat,
        "gemini": GeminiFormat,
        "mistral": lambda: OpenAIFormat(ask_usage=False),
        "deepseek": OpenAIFormat,
        "groq": lambda: OpenAIFormat(("/openai/v1",)),
        "openrouter": lambda: OpenAIFormat(("/api/v1",), ask_usage=False),
        "together": OpenAIFormat,
        "ollama": OpenAIFormat,
        "vllm": OpenAIFormat,
        "bedrock": BedrockFormat,
    }
)
KINDS = frozenset({*_FORMATS, SCRIPTED})


@dataclass(frozen=True, slots=True)
class Way:
    """How a provider is spoken to in one of its formats."""

    wire: WireFormat
    upstream: Upstream
    api_key: str | None = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def ways_to(spec: ProviderSpec, session: Session) -> Sequence[Way]:
    """One way for each format that the provider speaks.

    Raises:
        ValueError: there is none.
    """
    if spec.kind == SCRIPTED:
        rules = compile_rules(spec.rules or [])
        return [
            Way(
                wire,
                SealedUpstream() if spec.sealed else ScriptedUpstream(rules, wire, voice),
                spec.api_key,
            )
            for wire, voice in (
                (OpenAIFormat(), voices.OPENAI),
                (AnthropicFormat(), voices.ANTHROPIC),
                (GeminiFormat(), voices.GEMINI),
                (AzureOpenAIFormat(), voices.OPENAI),
                (BedrockFormat(), voices.BEDROCK),
            )
        ]
    if spec.sealed and spec.kind in _FORMATS:
        return [Way(_FORMATS[spec.kind](), SealedUpstream(), None)]
    if spec.kind not in _FORMATS or spec.base_url is None:
        raise ValueError(f"provider {spec.name!r}: no way to reach kind {spec.kind!r}")
    wire = _FORMATS[spec.kind]()
    if spec.access_key_id is None:
        plain = HttpUpstream(session, spec.base_url, spec.forward_proxy)
        return [Way(wire, plain, spec.api_key, _password(spec))]
    credentials = Credentials(
        spec.access_key_id, spec.api_key or "", spec.region or _ANY_REGION, spec.session_token
    )
    upstream = SignedUpstream(session, spec.base_url, credentials, spec.forward_proxy)
    return [Way(wire, upstream, None, (*credentials.secrets, *_password(spec)))]


def _password(spec: ProviderSpec) -> tuple[str, ...]:
    """What the forward proxy is told, which may come back in its errors."""
    parts = urlsplit(spec.forward_proxy or "")
    if not parts.password:
        return ()
    login = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return parts.password, unquote(parts.password), base64.b64encode(login.encode()).decode()
