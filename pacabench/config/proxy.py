"""``config.proxy``: the providers, and how the metering proxy bears with them."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pacabench.config.base import EnvName, Section
from pacabench.config.provider_names import ProviderName
from pacabench.config.replay import ReplayConfig
from pacabench.provider_tools import ProviderTool


class ProviderConfig(Section):
    """A way to one LLM provider."""

    base_url: str | None = Field(
        default=None, description="As the provider's SDK takes it; OpenAI's with or without /v1."
    )
    api_key_env: EnvName | None = Field(
        default=None, description="Name of the environment variable that holds the key."
    )
    rules: Path | None = Field(
        default=None,
        description="Only `scripted`: the YAML or JSON file with its rules. Default: it echoes.",
    )
    region: str | None = Field(
        default=None, pattern=r"^[a-z0-9-]{1,40}$", description="Only `bedrock`: the AWS region."
    )


class ProxyConfig(Section):
    """The metering proxy between agents and providers."""

    enabled: bool = True
    provider: ProviderName = "openai"
    base_url: str | None = None
    api_key_env: EnvName | None = None
    rules: Path | None = Field(default=None, description="Rules of the `scripted` provider.")
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,40}$")
    providers: dict[ProviderName, ProviderConfig] = Field(
        default_factory=dict,
        description="Several providers. `provider` names the one that answers where paths are "
        "shared; each also answers below /NAME.",
    )
    allow_provider_tools: tuple[ProviderTool, ...] = Field(
        default=(),
        description="What providers may do for agents beside answering, such as `web_search`. An "
        "agent may have a list of its own.",
    )
    trust_env: bool = Field(
        default=False,
        description="Reach providers through the proxies of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
    )
    retry_for_seconds: float = Field(
        default=120.0, ge=0, le=86400, description="Per call, from its first failure. 0: no retry."
    )
    silence_seconds: float = Field(
        default=600.0, gt=0, le=86400, description="A call ends after so long without a byte."
    )
    give_up_after_seconds: float = Field(
        default=600.0,
        ge=0,
        le=7 * 86400,
        description="A run that is paused for so long ends; `resume` goes on with it.",
    )
    replay: ReplayConfig = ReplayConfig()
    capture: Literal["bodies"] | None = Field(
        default=None,
        description="bodies: keep what was said in calls, for `show --case ID --calls`.",
    )
