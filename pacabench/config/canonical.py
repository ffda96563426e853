"""What of a configuration decides the results. Kept with a run, and compared when it is resumed."""

import hashlib
from pathlib import Path
from typing import Any

from pacabench.config.evaluators import PythonConfig, every_part
from pacabench.config.load import LoadedConfig
from pacabench.config.masking import digest, hide_secrets
from pacabench.config.problems import clean, shown
from pacabench.config.proxy import ProviderConfig, ProxyConfig
from pacabench.config.schema import AgentConfig, DatasetConfig
from pacabench.model import JSON
from pacabench.user_code import module_file

_SHOWN = 160


def canonical(loaded: LoadedConfig) -> dict[str, JSON]:
    """The keys that decide the results, as plain data that JSON gives back unchanged.

    Agents and data sets by name, each agent with the sandbox settings that hold for it; the
    scripted provider's rules by their content. Left out is what may change between sessions of
    one run: concurrency, directories, texts about the benchmark, where keys come from. A secret is
    there as a short hash.
    """
    config = loaded.config
    plain: dict[str, JSON] = {
        "agents": {agent.name: _agent(loaded, agent) for agent in config.agents},
        "datasets": {dataset.name: _dataset(loaded, dataset) for dataset in config.datasets},
        "sandbox": {"kind": config.sandbox.kind},
        "proxy": _proxy(loaded, config.config.proxy),
        "timeout_seconds": config.config.timeout_seconds,
        "timeout_excludes_provider_wait": config.config.timeout_excludes_provider_wait or None,
        "max_retries": config.config.max_retries,
        "epochs": config.config.epochs if config.config.epochs > 1 else None,
    }
    hidden: dict[str, JSON] = hide_secrets(
        plain, loaded.secrets, lambda text, masked: f"{masked} ({digest(text)})"
    )
    return hidden


def differences(old: dict[str, JSON], new: dict[str, JSON]) -> list[str]:
    """What changed from ``old`` to ``new``, a line per key: ``agents.a.command: 'x' -> 'y'``."""
    return _differences(old, new, "")


def _differences(old: dict[str, JSON], new: dict[str, JSON], prefix: str) -> list[str]:
    lines: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        path = f"{prefix}{clean(key)}"
        if old.get(key) == new.get(key):
            continue  # also where one side is unset and the other does not know the key
        if key not in new:
            lines.append(f"{path}: removed")
        elif key not in old:
            lines.append(f"{path}: added")
        elif isinstance(old[key], dict) and isinstance(new[key], dict):
            lines.extend(_differences(old[key], new[key], f"{path}."))
        else:
            lines.append(f"{path}: {_side(old[key])} -> {_side(new[key])}")
    return lines


def _side(value: JSON) -> str:
    return "unset" if value is None else shown(value, _SHOWN)


def _dataset(loaded: LoadedConfig, dataset: DatasetConfig) -> dict[str, Any]:
    """With a hash of each file of the user's own that judges: it decides like a key does."""
    plain = dataset.model_dump(mode="json", exclude={"name", "prepare"})
    # Where and with what it ran decides nothing that the data's own hash does not tell.
    plain["prepare"] = dataset.prepare.command if dataset.prepare is not None else None
    plain["evaluator"] = _known_before(plain["evaluator"])
    files = {
        config.function: module_file(config.function.partition(":")[0], loaded.project)
        for config in every_part(dataset.evaluator)
        if isinstance(config, PythonConfig)
    }
    code = {name: _content(loaded, file) for name, file in files.items() if file is not None}
    return {**plain, "code": code} if code else plain


_WRITTEN_APART = {"name", "sandbox", "services", "budget", "models", "allow_provider_tools"}


def _known_before(evaluator: Any) -> Any:
    """Without what says nothing: runs from before there was ``no_answer`` know no such key."""
    if isinstance(evaluator, list):
        return [_known_before(part) for part in evaluator]
    if not isinstance(evaluator, dict):
        return evaluator
    parts = {name: _known_before(part) for name, part in evaluator.items()}
    if parts.get("type") in {"f1", "exact_match"} and not parts.get("no_answer"):
        parts.pop("no_answer", None)
    return parts


def _agent(loaded: LoadedConfig, agent: AgentConfig) -> dict[str, Any]:
    sandbox = loaded.config.sandbox_of(agent)
    plain = {
        **agent.model_dump(mode="json", exclude=_WRITTEN_APART),
        "sandbox": sandbox.model_dump(mode="json", exclude={"kind"}),
    }
    # What a run or an agent may spend in all decides when it ends, and no result.
    if (case := loaded.config.case_limits_of(agent)).any:
        budget = loaded.config.budget
        plain["case_budget"] = {
            **case.model_dump(mode="json"),
            "default_max_output": budget.default_max_output,
            "default_max_input": budget.default_max_input,
        }
    if agent.models is not None:
        plain["models"] = list(agent.models)
    if agent.allow_provider_tools is not None:
        plain["allow_provider_tools"] = sorted(agent.allow_provider_tools)
    if agent.services:  # by name; runs from before there were any know no such key
        plain["services"] = {
            service.name: service.model_dump(mode="json", exclude={"name"})
            for service in agent.services
        }
    return plain


def _proxy(loaded: LoadedConfig, proxy: ProxyConfig) -> dict[str, Any]:
    if not proxy.enabled:
        return {"enabled": False}
    return {
        "enabled": True,
        "provider": proxy.provider,
        "base_url": proxy.base_url,
        "rules": _content(loaded, proxy.rules),
        "providers": {name: _provider(loaded, entry) for name, entry in proxy.providers.items()},
    }


def _provider(loaded: LoadedConfig, provider: ProviderConfig) -> dict[str, Any]:
    return {"base_url": provider.base_url, "rules": _content(loaded, provider.rules)}


def _content(loaded: LoadedConfig, path: Path | None) -> str | None:
    """A hash of the file, or its name where it cannot be read: whoever needs it will say so."""
    if path is None:
        return None
    try:
        with loaded.resolve(path).open("rb") as stream:
            return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError:
        return str(path)
