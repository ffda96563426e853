"""Reads a configuration: the YAML, then ``PACABENCH_`` variables, then flags.

Everything that is wrong is reported at once, one line per fault, with file, line and key.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pacabench.config.draft import Draft
from pacabench.config.environment import read_environment
from pacabench.config.expand import expand
from pacabench.config.layers import apply_environment, apply_flags
from pacabench.config.masking import secrets_in
from pacabench.config.problems import Problems
from pacabench.config.schema import BenchmarkConfig
from pacabench.config.validation import validate
from pacabench.config.yaml_source import MAX_BYTES, YamlError, YamlSource, parse_yaml
from pacabench.errors import ConfigError

NO_FLAGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and what it was read from."""

    config: BenchmarkConfig
    path: Path
    """Absolute."""
    project: Path
    """The file's directory: relative paths in the configuration start here."""
    text: bytes
    """The file as read."""
    environ: dict[str, str] = field(repr=False)
    """The process's variables, and below them those of ``.env``."""
    secrets: frozenset[str] = field(repr=False)
    """Values that must not be shown or stored."""
    notices: tuple[str, ...] = ()
    """What the user should know, and what is no error."""

    def resolve(self, path: Path) -> Path:
        """A path of the configuration, absolute."""
        return (self.project / path.expanduser()).resolve()

    @property
    def output_directory(self) -> Path:
        """Where runs are kept, absolute."""
        return self.resolve(self.config.output.directory)

    @property
    def cache_directory(self) -> Path:
        """Where built and fetched things are kept between runs, absolute."""
        return self.resolve(self.config.config.cache_directory)


def load_config(
    path: Path,
    *,
    flags: Mapping[str, Any] = NO_FLAGS,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Read and check the configuration in ``path``.

    ``flags`` are dotted keys with values (``{"config.concurrency": 8}``); None is not given.
    ``environ`` stands in for the process's variables.

    Raises:
        ConfigError: one line per fault.
    """
    path = Path(path)
    text = _read(path)
    project = path.absolute().parent.resolve()
    outside = os.environ if environ is None else environ
    known = read_environment(project, outside)
    problems = Problems()
    draft = _draft(path, text, problems)
    expand(draft, known.variables, problems)
    apply_environment(draft, known.variables, known.from_file, problems)
    apply_flags(draft, flags, problems)
    config = validate(draft, problems)
    problems.raise_any(secrets_in(known.variables, ()))
    if config is None:
        raise ConfigError(f"{path}: cannot be used")
    return LoadedConfig(
        config=config,
        path=project / path.name,
        project=project,
        text=text,
        environ=known.variables,
        secrets=secrets_in(known.variables, key_names(config)),
        notices=known.notices,
    )


def key_names(config: BenchmarkConfig) -> frozenset[str]:
    """The variables that the configuration says hold providers' keys."""
    proxy = config.config.proxy
    named = (proxy.api_key_env, *(entry.api_key_env for entry in proxy.providers.values()))
    return frozenset(name for name in named if name)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ConfigError(f"{path} is a directory; name the YAML file in it")
    if not path.is_file():
        raise ConfigError(
            f"there is no file {path}; `pacabench init` makes one, -c names another one"
        )
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _draft(path: Path, text: bytes, problems: Problems) -> Draft:
    source = _parsed(path, text)
    if source.value is not None and not isinstance(source.value, dict):
        raise ConfigError(f"{path}:1: must be a mapping of keys such as `name:` and `agents:`")
    draft = Draft(file=str(path), tree=source.value or {}, marks=source.marks)
    for key, line, first in source.duplicates:
        problems.add(f"{path}:{line}", key, f"duplicate key, first on line {first}")
    return draft


def _parsed(path: Path, text: bytes) -> YamlSource:
    try:
        return parse_yaml(text)
    except YamlError as error:
        place = f"{path}:{error.line}" if error.line else str(path)
        raise ConfigError(f"{place}: {error}") from None
