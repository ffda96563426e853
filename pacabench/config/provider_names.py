"""The providers that a configuration can name: where their keys are and how they are reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

ProviderName = Literal[
    "openai",
    "azure_openai",
    "anthropic",
    "gemini",
    "mistral",
    "deepseek",
    "groq",
    "openrouter",
    "together",
    "ollama",
    "vllm",
    "bedrock",
    "scripted",
]


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """What is taken for granted of a provider where the configuration says nothing else."""

    base_url: str | None
    """None where every user has another one."""
    key_names: tuple[str, ...]
    """Variables in which its SDKs look for a key; the first that is set counts."""
    root: str = ""
    """What its SDK puts behind a base URL that has no path."""
    suffixes: tuple[str, ...] = ()
    """Ends of a base URL as other SDKs take it; the proxy puts them there itself."""


KNOWN_PROVIDERS: Mapping[str, KnownProvider] = MappingProxyType(
    {
        "openai": KnownProvider("https://api.openai.com/v1", ("OPENAI_API_KEY",), "/v1"),
        "azure_openai": KnownProvider(
            None,
            ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
            suffixes=("/openai/v1", "/openai/deployments", "/openai"),
        ),
        "anthropic": KnownProvider(
            "https://api.anthropic.com", ("ANTHROPIC_API_KEY",), suffixes=("/v1",)
        ),
        "gemini": KnownProvider(
            "https://generativelanguage.googleapis.com",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            suffixes=("/v1beta", "/v1alpha", "/v1"),
        ),
        "mistral": KnownProvider("https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), "/v1"),
        "deepseek": KnownProvider("https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",), "/v1"),
        "groq": KnownProvider("https://api.groq.com/openai/v1", ("GROQ_API_KEY",), "/openai/v1"),
        "openrouter": KnownProvider(
            "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), "/api/v1"
        ),
        "together": KnownProvider(
            "https://api.together.xyz/v1", ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"), "/v1"
        ),
        "ollama": KnownProvider("http://localhost:11434/v1", ("OLLAMA_API_KEY",), "/v1"),
        "vllm": KnownProvider("http://localhost:8000/v1", ("VLLM_API_KEY",), "/v1"),
        "bedrock": KnownProvider(None, ("AWS_BEARER_TOKEN_BEDROCK",)),
        "scripted": KnownProvider(None, ()),
    }
)
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
OTHER_KEYS = (
    "ANTHROPIC_AUTH_TOKEN",
    "AZURE_OPENAI_AD_TOKEN",
    "COHERE_API_KEY",
    "FIREWORKS_API_KEY",
    "HOSTED_VLLM_API_KEY",
    "XAI_API_KEY",
)
"""Keys that SDKs look for and no provider here uses by itself. Agents do not get them either."""
PROVIDER_KEYS = frozenset(
    {
        *(name for known in KNOWN_PROVIDERS.values() for name in known.key_names),
        *AWS_KEYS,
        *OTHER_KEYS,
    }
)
"""Names under which the providers' SDKs look for a key."""

assert KNOWN_PROVIDERS.keys() == set(get_args(ProviderName))
