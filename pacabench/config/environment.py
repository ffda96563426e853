"""The variables that a configuration is read with: the process's own, and those of ``.env``."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import parse_stream

from pacabench.config.problems import clean
from pacabench.errors import ConfigError

_MAX_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables by name."""

    variables: dict[str, str]
    from_file: frozenset[str]
    """Names whose value stands in ``.env`` only."""
    notices: tuple[str, ...]


def read_environment(project: Path, environ: Mapping[str, str]) -> Environment:
    """``environ``, and below it what ``.env`` in ``project`` says.

    Values in ``.env`` are taken as they stand: no variable is expanded in them.

    Raises:
        ConfigError: the file is there and cannot be read.
    """
    file = project / ".env"
    own: dict[str, str] = {}
    notices: list[str] = []
    for binding in parse_stream(io.StringIO(_text(file))):
        line = binding.original.line
        value = binding.value
        if binding.error or (value is not None and "\0" in value):
            text = clean(binding.original.string.strip().partition("=")[0], 40)
            notices.append(f"{file.name}:{line}: not understood and skipped: {text!r}")
        elif binding.key and value is not None:
            own[binding.key] = value
    return Environment(
        variables={**own, **environ},
        from_file=frozenset(own) - frozenset(environ),
        notices=tuple(notices),
    )


def _text(file: Path) -> str:
    if not file.is_file():
        return ""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{file}: larger than {_MAX_BYTES // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: not UTF-8") from None
