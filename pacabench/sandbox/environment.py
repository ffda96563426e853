"""The variables that an agent starts with, and through which it finds the proxy and the web."""

import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pacabench.providers import VIRTUAL_KEY
from pacabench.proxy.control import ProviderSpec

_OPENAI = ("OPENAI_BASE_URL={origin}/v1", "OPENAI_API_BASE={origin}/v1", "OPENAI_API_KEY={key}")
_ANTHROPIC = (
    "ANTHROPIC_BASE_URL={origin}",
    "ANTHROPIC_API_BASE={origin}",
    "ANTHROPIC_API_KEY={key}",
)
_GEMINI = (
    "GOOGLE_GEMINI_BASE_URL={origin}",
    "GEMINI_API_BASE={origin}",
    "GEMINI_API_KEY={key}",
    "GOOGLE_API_KEY={key}",
)
_AZURE = (
    "AZURE_OPENAI_ENDPOINT={own}",
    "AZURE_API_BASE={own}",
    "AZURE_OPENAI_API_KEY={key}",
    "AZURE_API_KEY={key}",
)
_BEDROCK = (
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME={own}",
    "AWS_ACCESS_KEY_ID={key}",
    "AWS_SECRET_ACCESS_KEY={key}",
    "AWS_REGION={region}",
    "AWS_DEFAULT_REGION={region}",
    "AWS_EC2_METADATA_DISABLED=true",
)
_OF_KIND: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "openai": _OPENAI,
        "anthropic": _ANTHROPIC,
        "gemini": _GEMINI,
        "azure_openai": _AZURE,
        "bedrock": _BEDROCK,
        "mistral": (
            *_OPENAI,
            "MISTRAL_API_BASE={own}/v1",
            "MISTRAL_BASE_URL={own}/v1",
            "MISTRAL_API_KEY={key}",
        ),
        "deepseek": (
            *_OPENAI,
            "DEEPSEEK_API_BASE={own}/v1",
            "DEEPSEEK_BASE_URL={own}/v1",
            "DEEPSEEK_API_KEY={key}",
        ),
        # Its SDK puts /openai/v1 behind it.
        "groq": (*_OPENAI, "GROQ_BASE_URL={own}", "GROQ_API_KEY={key}"),
        "openrouter": (
            *_OPENAI,
            "OPENROUTER_API_BASE={own}/api/v1",
            "OPENROUTER_BASE_URL={own}/api/v1",
            "OPENROUTER_API_KEY={key}",
        ),
        "together": (
            *_OPENAI,
            "TOGETHER_BASE_URL={own}/v1",
            "TOGETHERAI_API_BASE={own}/v1",
            "TOGETHER_API_KEY={key}",
            "TOGETHERAI_API_KEY={key}",
        ),
        "ollama": (*_OPENAI, "OLLAMA_BASE_URL={own}/v1", "OLLAMA_API_KEY={key}"),
        "vllm": (
            *_OPENAI,
            "VLLM_BASE_URL={own}/v1",
            "HOSTED_VLLM_API_BASE={own}/v1",
            "VLLM_API_KEY={key}",
            "HOSTED_VLLM_API_KEY={key}",
        ),
        "scripted": (*_OPENAI, *_ANTHROPIC, *_GEMINI, *_AZURE, *_BEDROCK),
    }
)
"""``origin`` is where a format's own paths are served, ``own`` where one provider's are."""
_ANY_REGION = "us-east-1"


def virtual_key() -> str:
    """A key that opens the proxy for one session and nothing else."""
    return f"sk-pacabench-{secrets.token_urlsafe(24)}"


def agent_variables(
    env: Mapping[str, str],
    *,
    origin: str | None,
    key: str,
    providers: Sequence[ProviderSpec] = (),
) -> dict[str, str]:
    """The agent's own ``env`` with ``key`` where it had a real one, and the way to the proxy.

    ``origin`` is the proxy's scheme, host and port; None where the proxy is off. Where two
    providers want the same variable, the one that is configured first gets it.
    """
    own = {name: value.replace(VIRTUAL_KEY, key) for name, value in env.items()}
    if origin is None:
        return own
    found: dict[str, str] = {}
    for provider in providers:
        values = {
            "origin": origin,
            "own": f"{origin}/{provider.name}",
            "key": key,
            "region": provider.region or _ANY_REGION,
        }
        for line in _OF_KIND.get(provider.kind, _OPENAI):
            name, _, value = line.partition("=")
            found.setdefault(name, value.format(**values))
    return own | found


def web_variables(origin: str) -> dict[str, str]:
    """The way to the web, in the variables that most clients look at.

    LLM calls do not go that way: their proxy is on loopback.
    """
    proxy = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), origin)
    both = proxy | {"NO_PROXY": "127.0.0.1,localhost"}
    # curl reads some in lower case only.
    return both | {name.lower(): value for name, value in both.items()}
