"""A benchmark ready to run: agents resolved, cases loaded, evaluators made, everything hashed."""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pacabench.config.canonical import canonical
from pacabench.config.evaluators import (
    CommandConfig,
    EvaluatorConfig,
    LlmJudgeConfig,
    PythonConfig,
    every_part,
)
from pacabench.config.load import LoadedConfig
from pacabench.config.schema import AgentConfig, DatasetConfig, SandboxConfig, SandboxKind
from pacabench.datasets.base import Dataset
from pacabench.datasets.source import own_paths
from pacabench.errors import ConfigError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.command import wanted_files
from pacabench.evaluators.desk import Desk
from pacabench.evaluators.factory import CaseCheck, make_evaluator
from pacabench.events import Listener
from pacabench.judged_data import load_data, selected
from pacabench.judging import judge_specs
from pacabench.left_files import Wanted
from pacabench.providers import clean_agent_env, clean_service_env, provider_specs
from pacabench.proxy.control import ProviderSpec
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.images.build_context import read_context
from pacabench.sandbox.docker.images.source_files import exactly, read_patterns, scan_source
from pacabench.sandbox.docker.images.tree import pack
from pacabench.store import Selection
from pacabench.user_code import module_file

IGNORE_FILE = ".pacabenchignore"
_OUTPUT_NAMES = ("*.log", "nohup.out")
_LEFT_FOLDER = "left-by-agent"
"""What people keep a run's own output in. A `!pattern` brings such a file back."""
_REQUIREMENTS = "(requirements)"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a run needs to know; nothing of it changes while the run goes on."""

    loaded: LoadedConfig
    selection: Selection
    agents: Sequence[SandboxAgent]
    agent_digests: Mapping[str, str]
    """Agent name to a hash of its code and requirements."""
    agent_files: Mapping[str, Mapping[str, str]]
    """Agent name to its files, each with a hash of its content."""
    datasets: Sequence[Dataset]
    evaluators: Mapping[str, Evaluator]
    desk: Desk
    """What they need while a run goes on."""
    judges: Mapping[LlmJudgeConfig, ProviderSpec] = field(repr=False)
    """Every judge, and the provider that is asked."""
    checkers: Mapping[CommandConfig, SandboxAgent]
    """Every program that looks at answers, as it goes into a sandbox."""
    wanted: Mapping[str, Wanted]
    """By data set, what its evaluator wants of what agents leave; not there: nothing."""
    providers: Sequence[ProviderSpec] = field(repr=False)
    default_provider: str
    notices: Sequence[str]

    @property
    def names(self) -> list[str]:
        """Of the agents, in the order of the configuration."""
        return [agent.name for agent in self.agents]

    @property
    def kind(self) -> SandboxKind:
        """The sandbox that the configuration asks for."""
        return self.loaded.config.sandbox.kind

    @property
    def revisions(self) -> dict[str, str]:
        """The commits that data sets were fetched at, by name, of those that were."""
        pinned = ((dataset.name, dataset.revision) for dataset in self.datasets)
        return {name: revision for name, revision in pinned if revision is not None}

    @property
    def identity(self) -> dict[str, Any]:
        """All that results depend on, for comparing with an earlier session of the same run."""
        return {
            "config": canonical(self.loaded),
            "selection": self.selection.model_dump(mode="json"),
            "datasets": {dataset.name: dataset.digest for dataset in self.datasets},
            "agents": {name: dict(files) for name, files in self.agent_files.items()},
        }


async def load_benchmark(
    loaded: LoadedConfig,
    selection: Selection,
    listener: Listener = lambda _: None,
    *,
    revisions: Mapping[str, str] = MappingProxyType({}),
    sealed: bool = False,
    allow_weak: bool = False,
) -> Benchmark:
    """Load everything that ``selection`` names, and check it before anything is started.

    ``revisions`` are the commits that an unfinished run's data sets were fetched at, by name.
    ``sealed``: its providers are never asked, and need no key. ``allow_weak``: data sets are
    prepared also where the container does not hold what is promised.
    On cancellation a data set's ``prepare`` is killed.

    Raises:
        UsageError: no agent or data set of such a name.
        ConfigError, DatasetError: as they say.
        SandboxUnavailableError: a ``prepare`` has no container, or one that does not hold.
    """
    config = loaded.config
    agent_configs = selected("agent", config.agents, selection.agents)
    dataset_configs = selected("dataset", config.datasets, selection.datasets)
    desk = Desk()
    evaluators = {
        item.name: _make_evaluator(item, loaded.project, desk) for item in dataset_configs
    }
    providers, default = provider_specs(loaded, sealed=sealed)
    notices = list(loaded.notices)
    agents = [_resolve(agent, loaded, notices) for agent in agent_configs]
    agents = _with_files(agents, dataset_configs, loaded)
    wanted = {item.name: wanted_files(item.evaluator) for item in dataset_configs}
    agents = _leaving(agents, [name for name, files in wanted.items() if files], loaded)
    checks = {
        item.name: CaseCheck(evaluators[item.name], _first(item, selection))
        for item in dataset_configs
    }
    datasets = [
        await load_data(
            item,
            loaded,
            listener,
            checks[item.name].take,
            revision=revisions.get(item.name),
            allow_weak=allow_weak,
        )
        for item in dataset_configs
    ]
    for dataset in datasets:
        notices.extend(dataset.notices)
        checks[dataset.name].finish()
    judged = {item.name: item.evaluator for item in dataset_configs}
    checkers = checkers_of(judged, loaded)
    programs = (*agents, *checkers.values())
    scanned = {each.name: await asyncio.to_thread(_scan, each) for each in programs}
    return Benchmark(
        loaded=loaded,
        selection=selection,
        agents=agents,
        agent_digests={name: digest for name, (digest, _) in scanned.items()},
        agent_files={name: files for name, (_, files) in scanned.items()},
        datasets=datasets,
        evaluators=evaluators,
        desk=desk,
        checkers=checkers,
        wanted={name: files for name, files in wanted.items() if files is not None},
        judges=judge_specs(loaded, [item.evaluator for item in dataset_configs], sealed=sealed),
        providers=providers,
        default_provider=default,
        notices=notices,
    )


def _first(item: DatasetConfig, selection: Selection) -> int | None:
    """How many cases, as they are read, will be run; of those in an order of their own, any may."""
    return selection.limit if item.shuffle is None else None


def _make_evaluator(item: DatasetConfig, project: Path, desk: Desk) -> Evaluator:
    try:
        return make_evaluator(item.evaluator, project, desk)
    except ConfigError as error:
        raise ConfigError(f"dataset {item.name!r}: {error}") from error.__cause__


def resolve_checkers(loaded: LoadedConfig) -> list[SandboxAgent]:
    """Every program of a ``command`` evaluator, resolved as for a run."""
    judged = {item.name: item.evaluator for item in loaded.config.datasets}
    return list(checkers_of(judged, loaded).values())


def resolve_agents(loaded: LoadedConfig) -> list[SandboxAgent]:
    """Every agent of the configuration, resolved as for a run."""
    return [_resolve(agent, loaded, []) for agent in loaded.config.agents]


def _with_files(
    agents: list[SandboxAgent], datasets: Sequence[DatasetConfig], loaded: LoadedConfig
) -> list[SandboxAgent]:
    """Agents that take their cases' files, where some data set has any."""
    if all(dataset.files is None for dataset in datasets):
        return agents
    for agent in agents:
        if agent.sandbox.isolation == "worker":
            raise ConfigError(
                f"{loaded.path}: agent {agent.name!r}: `isolation: worker` does not go together "
                "with `files` of a data set: one case would see those of others"
            )
    return [replace(agent, takes_files=True) for agent in agents]


def _leaving(
    agents: list[SandboxAgent], judged: Sequence[str], loaded: LoadedConfig
) -> list[SandboxAgent]:
    """Agents whose work directory is looked at, where the evaluator of some data set wants that."""
    if not judged:
        return agents
    for agent in agents:
        if agent.sandbox.isolation == "worker":
            raise ConfigError(
                f"{loaded.path}: agent {agent.name!r}: `isolation: worker` does not go together "
                f"with `files` of the evaluator of {judged[0]!r}: what one case left could not be "
                "told from what others did"
            )
    return [replace(agent, leaves_files=True) for agent in agents]


def checkers_of(
    evaluators: Mapping[str, EvaluatorConfig], loaded: LoadedConfig
) -> dict[CommandConfig, SandboxAgent]:
    """Programs that evaluate, as agents that no case is given to and that reach nothing.

    ``evaluators`` are those of data sets, by name.

    Raises:
        ConfigError: a file or a directory of theirs is not there.
    """
    found: dict[CommandConfig, SandboxAgent] = {}
    for dataset, evaluator in evaluators.items():
        parts = (part for part in every_part(evaluator) if isinstance(part, CommandConfig))
        for number, part in enumerate(parts, start=1):
            name = f"evaluator of {dataset}" + (f" ({number})" if number > 1 else "")
            shared = {"command": part.command, "source": part.source}
            agent = AgentConfig(name=name, requirements=part.requirements, **shared)
            limits = {"memory": part.memory, "cpus": part.cpus, "pids": part.pids}
            kind = loaded.config.sandbox.kind
            sandbox = SandboxConfig(kind=kind, image=part.image, **limits)
            program = _resolve(agent, loaded, [], sandbox)
            # What it gets is an agent's, and must not take the place of anything of its own.
            found.setdefault(
                part, replace(program, takes_files=bool(part.files), files_folder=_LEFT_FOLDER)
            )
    return found


def _resolve(
    agent: AgentConfig,
    loaded: LoadedConfig,
    notices: list[str],
    sandbox: SandboxConfig | None = None,
) -> SandboxAgent:
    """``agent`` as it goes into a sandbox; by default with the settings that hold for it."""
    sandbox = sandbox or loaded.config.sandbox_of(agent)
    own_image = sandbox.image is not None or sandbox.build is not None
    source: Path | None = None
    if agent.source is not None or not own_image:
        source = loaded.resolve(agent.source or Path()).resolve()
        if not source.is_dir():
            raise ConfigError(
                f"{loaded.path}: agents.{agent.name}.source: {source} is no directory"
            )
    requirements = loaded.resolve(agent.requirements) if agent.requirements else None
    if requirements is not None and not requirements.is_file():
        raise ConfigError(
            f"{loaded.path}: agents.{agent.name}.requirements: there is no file {requirements}"
        )
    env, said = clean_agent_env(agent, loaded)
    notices.extend(said)
    service_env: dict[str, dict[str, str]] = {}
    for service in agent.services:
        service_env[service.name], said = clean_service_env(agent, service, loaded)
        notices.extend(said)
    return SandboxAgent(
        config=agent,
        sandbox=sandbox,
        env=env,
        source=source,
        requirements=requirements,
        project=loaded.project,
        ignore=tuple(_ignored(source, loaded)) if source else (),
        service_env=service_env,
    )


def _ignored(source: Path, loaded: LoadedConfig) -> list[str]:
    """What must never reach an agent: answers, results, secrets; and what the user leaves out."""
    config = loaded.config
    proxy = config.config.proxy
    rules = [proxy.rules, *(provider.rules for provider in proxy.providers.values())]
    kept_out = [
        loaded.path,
        loaded.output_directory,
        loaded.cache_directory,
        *(
            loaded.resolve(path)
            for item in config.datasets
            for path in _judges_and_data(item, loaded)
        ),
        *(loaded.resolve(path) for path in rules if path is not None),
        *_own_output(),
    ]
    own = read_patterns(source / IGNORE_FILE)
    # The last pattern that matches decides, so no `!pattern` brings back what comes after it.
    patterns = [*_OUTPUT_NAMES, *own, ".git", ".env", ".env.*", IGNORE_FILE]
    found = (exactly(path, source) for path in kept_out)
    return [*patterns, *(pattern for pattern in found if pattern is not None)]


def _judges_and_data(dataset: DatasetConfig, loaded: LoadedConfig) -> list[Path]:
    """What a data set is read from, and the user's code that judges: both may hold answers."""
    judges = [
        module_file(part.function.partition(":")[0], loaded.project)
        for part in every_part(dataset.evaluator)
        if isinstance(part, PythonConfig)
    ]
    judges += [
        loaded.resolve(part.source)
        for part in every_part(dataset.evaluator)
        if isinstance(part, CommandConfig) and part.source is not None
    ]
    data = own_paths(dataset.source, loaded.project)
    if dataset.files is not None:
        data.append(loaded.resolve(dataset.files.directory))
    return [*data, *(file for file in judges if file is not None)]


def _own_output() -> list[Path]:
    """Files that this process writes its output to: part of no agent, and never twice the same.

    Known where the system tells (Linux); elsewhere only their names help.
    """
    files = []
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_file():
                files.append(path)
    return files


def _scan(agent: SandboxAgent) -> tuple[str, dict[str, str]]:
    """A hash of all that an agent is made of, and of each of its files."""
    trees = [("", scan_source(agent.source, agent.ignore))] if agent.source else []
    for service in agent.config.services:
        if service.build is not None:
            key = f"services.{service.name}.build"
            trees.append((f"({key})", read_context(service.build, agent.project, key=key)[1]))
    if agent.sandbox.build is not None and agent.sandbox.kind == "docker":
        context = read_context(agent.sandbox.build, agent.project, key="sandbox.build")[1]
        trees.append(("(sandbox.build)", context))
    files = []
    if agent.requirements is not None:
        files.append((_REQUIREMENTS, agent.requirements.read_bytes(), 0o644))
    hashes = {name: _short_hash(content) for name, content, _ in files}
    for prefix, tree in trees:
        for entry in tree.entries:
            name = f"{prefix}/{entry.path}" if prefix else entry.path
            if entry.kind == "file":
                hashes[name] = _short_hash(entry.source.read_bytes())
            elif entry.kind == "link":
                hashes[name] = f"-> {entry.target}"
    return f"sha256:{pack(trees, files)}", hashes


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
