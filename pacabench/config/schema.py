"""The whole YAML schema. ``docs/configuration.md`` and the JSON Schema are made from it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pacabench.config.base import BuildConfig, EnvName, Name, Section, VerbatimText
from pacabench.config.budget import AgentBudget, BudgetConfig, Limits, ModelPattern
from pacabench.config.egress import EgressConfig
from pacabench.config.evaluators import EvaluatorConfig, ExactMatchConfig
from pacabench.config.prepare import Prepare
from pacabench.config.proxy import ProxyConfig
from pacabench.config.services import ServiceConfig
from pacabench.config.units import Bytes
from pacabench.provider_tools import ProviderTool

DUPLICATE_NAME = "duplicate_name"
"""pydantic's name for the fault."""
SandboxKind = Literal["docker", "process"]
SandboxProfile = Literal["strict", "compat", "vm", "unsafe"]
MOST_SERVICES = 8
"""Of one agent."""


def _unique_names(entries: Iterable["AgentConfig | DatasetConfig | ServiceConfig"]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise PydanticCustomError(
                DUPLICATE_NAME, "duplicate name {name}", {"name": repr(entry.name)}
            )
        seen.add(entry.name)


def _unique_services(services: tuple[ServiceConfig, ...]) -> tuple[ServiceConfig, ...]:
    _unique_names(services)
    ports = [service.healthcheck.tcp for service in services if service.healthcheck.tcp]
    for port in ports:
        if ports.count(port) > 1:
            raise ValueError(
                f"two services wait for port {port}; all of an agent's services share 127.0.0.1"
            )
    return services


_TMP_SIZE = 256 * 1024**2
_ROOMY_TMP_SIZE = 1024**3


def _tmp_size_of(profile: object) -> int:
    """What ``tmp_size`` is where it is not said."""
    return _ROOMY_TMP_SIZE if profile in ("compat", "unsafe") else _TMP_SIZE


BuildNetwork = Literal["engine", "none"]


class SandboxConfig(Section):
    """Where agents run and what they may use. At the top level: the defaults for all agents."""

    kind: SandboxKind = "docker"
    profile: SandboxProfile = Field(
        default="strict",
        description="What a container may do. compat: for agents that strict is too tight for. "
        "vm: a kernel of its own, by `runtime`. unsafe: for debugging alone.",
    )
    runtime: str | None = Field(
        default=None,
        min_length=1,
        description="Only `profile: vm`: an OCI runtime that the engine has, such as runsc.",
    )
    image: str | None = Field(
        default=None, description="Your own image in place of PacaBench's Python base."
    )
    build: BuildConfig | None = Field(default=None, description="Your own Dockerfile.")
    memory: Bytes = Field(default=2 * 1024**3, description="Bytes, or a size such as 512m, 2g.")
    cpus: float = Field(default=1.0, gt=0, le=1024)
    pids: int = Field(default=256, ge=8, le=100_000)
    tmp_size: Bytes = Field(
        default_factory=lambda data: _tmp_size_of(data.get("profile")),
        description="Of /tmp and of the work directory, each. Profiles compat and unsafe: 1g.",
    )
    isolation: Literal["case", "worker"] = Field(
        default="case",
        description="case: a fresh container per attempt. worker: one for many cases.",
    )
    egress: EgressConfig | None = Field(
        default=None, description="What of the web agents may reach. Default: nothing."
    )
    build_network: BuildNetwork = Field(
        default="engine",
        description="What `setup`, `build` and requirements without a wheel reach while the image "
        "is built. engine: what the engine's containers reach by default. none: nothing.",
    )

    @property
    def allowed_web(self) -> tuple[str, ...]:
        """The entries of ``egress.allow``."""
        return self.egress.allow if self.egress is not None else ()

    @property
    def network_of_builds(self) -> str | None:
        """As the engine takes it; None is its default network."""
        return None if self.build_network == "engine" else self.build_network

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if self.image is not None and self.build is not None:
            raise ValueError("give either `image` or `build`, not both")
        return self

    @model_validator(mode="after")
    def _runtime_of_vm(self) -> Self:
        if self.profile == "vm" and self.runtime is None:
            raise ValueError(
                "`profile: vm` needs `runtime`: the name of an OCI runtime that the engine has, "
                "such as runsc"
            )
        if self.profile != "vm" and self.runtime is not None:
            raise ValueError("`runtime` goes with `profile: vm` alone")
        return self


class SandboxOverrides(Section):
    """An agent's own ``sandbox:``; what it leaves out comes from the top level."""

    profile: SandboxProfile | None = None
    runtime: str | None = Field(default=None, min_length=1)
    image: str | None = None
    build: BuildConfig | None = None
    memory: Bytes | None = None
    cpus: float | None = Field(default=None, gt=0, le=1024)
    pids: int | None = Field(default=None, ge=8, le=100_000)
    tmp_size: Bytes | None = None
    isolation: Literal["case", "worker"] | None = None
    egress: EgressConfig | None = None
    build_network: BuildNetwork | None = None

    def merged_into(self, defaults: SandboxConfig) -> SandboxConfig:
        """The defaults with what is set here on top.

        ``image`` and ``build`` replace each other; a ``runtime`` belongs to its profile, and so
        does a ``tmp_size`` that nobody chose. ``egress`` is taken whole.
        """
        own = {name: getattr(self, name) for name in self.model_fields_set}
        own = {name: value for name, value in own.items() if value is not None}
        base = {name: getattr(defaults, name) for name in SandboxConfig.model_fields}
        if "image" in own or "build" in own:
            base["image"] = base["build"] = None
        if own.get("profile", "vm") != "vm":
            base["runtime"] = None
        if base["tmp_size"] == _tmp_size_of(defaults.profile):
            del base["tmp_size"]
        return SandboxConfig.model_validate({**base, **own})


class AgentConfig(Section):
    """A program that reads a case on stdin and writes its answer on stdout."""

    name: Name
    command: str = Field(min_length=1, description="A shell command line, run in the source.")
    env: dict[EnvName, VerbatimText] = Field(default_factory=dict)
    source: Path | None = Field(
        default=None,
        description="Directory with the agent's code. Default: the directory of this file "
        "(nothing where `sandbox.image` or `sandbox.build` is given).",
    )
    requirements: Path | None = Field(
        default=None, description="A pip requirements file, installed into the image."
    )
    setup: str | None = Field(
        default=None, description="A shell command, run once while the image is built."
    )
    teardown: str | None = Field(
        default=None, description="A shell command, run once in a sandbox after the last case."
    )
    services: Annotated[
        tuple[ServiceConfig, ...], Field(max_length=MOST_SERVICES), AfterValidator(_unique_services)
    ] = Field(
        default=(),
        description="Databases and the like, started afresh beside each of its containers.",
    )
    models: tuple[ModelPattern, ...] | None = Field(
        default=None,
        min_length=1,
        description="The models that it may ask for; `*` stands for any text. Default: all.",
    )
    allow_provider_tools: tuple[ProviderTool, ...] | None = Field(
        default=None,
        description="In place of `config.proxy.allow_provider_tools`, taken whole; `[]`: none.",
    )
    budget: AgentBudget = AgentBudget()
    sandbox: SandboxOverrides = SandboxOverrides()


Column = Annotated[str, StringConstraints(min_length=1)]
FilterValue = str | int | float | bool


class InputMap(Section):
    """Which columns of a row are what. Every other column lands in ``metadata``.

    A column is a key of the row, or a dotted path into it (``turns.0.text``).
    """

    input: Column = "input"
    expected: Column = "expected"
    case_id: Column = Field(
        default="case_id",
        description="Where it is not set and no such column is there, a hash of the row stands in.",
    )
    history: Column = "history"


class FilesConfig(Section):
    """Files that come with a case."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1)] = Field(
        description="Columns that name a file, or a list of files, below `directory`."
    )
    directory: Path = Field(
        description="Relative to this file; with git: to the repository. In no agent's image."
    )


class DatasetConfig(Section):
    """Cases, and how an answer to them is judged."""

    name: Name
    source: str = Field(
        min_length=1,
        description="A file, a directory or a pattern, relative to this file; or "
        "git:URL[@ref][#path], huggingface:ORG/NAME[@revision], python:module:function.",
    )
    split: str | None = Field(
        default=None,
        description="Rows whose `split` column says this; or the entry of this name where "
        "the file is a JSON object of arrays; or the file of this name in a directory.",
    )
    config: str | None = Field(
        default=None, min_length=1, description="Only huggingface: which of its configurations."
    )
    filter: dict[Column, FilterValue | tuple[FilterValue, ...]] = Field(
        default_factory=dict,
        description="Columns with the value that they must have, or a list of those.",
    )
    shuffle: int | None = Field(
        default=None, ge=0, description="A seed: cases come in an order of its own."
    )
    prepare: Prepare | None = Field(
        default=None, description="A shell command that makes the data, in a container."
    )
    input_map: InputMap = InputMap()
    files: FilesConfig | None = Field(
        default=None, description="Files that are placed beside the agent, case by case."
    )
    hide: tuple[str, ...] = Field(
        default=(), description="Columns that the agent must not see; `case_id` makes it opaque."
    )
    evaluator: EvaluatorConfig = ExactMatchConfig()

    @model_validator(mode="after")
    def _input_is_shown(self) -> Self:
        if self.input_map.input in self.hide:
            raise ValueError("`hide` names the column that is the agent's input")
        return self


class RunConfig(Section):
    """How a benchmark is run."""

    concurrency: int = Field(default=4, ge=1, le=1024)
    epochs: int = Field(
        default=1, ge=1, le=1000, description="How often each case is run and counted."
    )
    timeout_seconds: float = Field(default=60.0, gt=0, le=7 * 86400, description="Per attempt.")
    timeout_excludes_provider_wait: bool = Field(
        default=False,
        description="Time in which an LLM call is under way does not count; after ten times "
        "`timeout_seconds` an attempt ends all the same.",
    )
    max_retries: int = Field(
        default=2, ge=0, le=100, description="Further attempts after an infrastructure outcome."
    )
    cache_directory: Path = Path(".pacabench/cache")
    proxy: ProxyConfig = ProxyConfig()


Price = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class PriceConfig(Section):
    """What a model costs, in US dollars per million tokens; in place of the price list."""

    input: Price
    output: Price
    cached: Price | None = Field(default=None, description="Read from a cache. Default: `input`.")
    cache_write: Price | None = Field(
        default=None, description="Written to a cache. Default: `input`."
    )
    cache_write_1h: Price | None = Field(
        default=None, description="Written for an hour. Default: `cache_write`."
    )


class OutputConfig(Section):
    """Where runs are kept."""

    directory: Path = Path("./runs")


def _unique_agents(agents: tuple[AgentConfig, ...]) -> tuple[AgentConfig, ...]:
    _unique_names(agents)
    return agents


def _unique_datasets(datasets: tuple[DatasetConfig, ...]) -> tuple[DatasetConfig, ...]:
    _unique_names(datasets)
    return datasets


class BenchmarkConfig(Section):
    """One ``pacabench.yaml``."""

    name: Name
    description: str = ""
    version: VerbatimText = "0"
    author: str = ""
    config: RunConfig = RunConfig()
    sandbox: SandboxConfig = SandboxConfig()
    agents: Annotated[tuple[AgentConfig, ...], Field(min_length=1), AfterValidator(_unique_agents)]
    datasets: Annotated[
        tuple[DatasetConfig, ...], Field(min_length=1), AfterValidator(_unique_datasets)
    ]
    output: OutputConfig = OutputConfig()
    budget: BudgetConfig = BudgetConfig()
    prices: dict[Name, PriceConfig] = Field(
        default_factory=dict,
        description="Prices by model, as it was asked for or answered; they win over the list.",
    )

    @model_validator(mode="after")
    def _sandboxes_fit(self) -> Self:
        for agent in self.agents:
            try:
                self.sandbox_of(agent)
            except ValidationError as invalid:
                said = invalid.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"agent {agent.name!r}: its `sandbox`: {said}") from None
        return self

    def sandbox_of(self, agent: AgentConfig) -> SandboxConfig:
        """The sandbox settings that hold for ``agent``."""
        return agent.sandbox.merged_into(self.sandbox)

    def case_limits_of(self, agent: AgentConfig) -> Limits:
        """What an attempt of ``agent`` at a case may use."""
        return self.budget.case if agent.budget.case is None else agent.budget.case
