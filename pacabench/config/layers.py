"""What stands above the YAML: ``PACABENCH_`` variables, and over them the command line's flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pacabench.config.draft import Draft
from pacabench.config.expand import check_text
from pacabench.config.problems import KeyPath, Problems, nearest
from pacabench.config.shape import is_known, is_single, locate, single_keys

PREFIX = "PACABENCH_"
NO_KEYS = ("PACABENCH_DATASET_PATH", "PACABENCH_LOG_", "PACABENCH_TEST")
"""Beginnings of names that have the prefix and set no key: what ``prepare`` is given, and two
name spaces kept free for logging and for tests."""
_LISTS = frozenset({"agents", "datasets"})


def apply_environment(
    draft: Draft, environ: Mapping[str, str], from_file: frozenset[str], problems: Problems
) -> None:
    """Put ``PACABENCH_SECTION__KEY`` variables over the YAML.

    Names ignore case, and a variable that holds nothing counts as not set. A name that fits no key
    goes to ``problems``: it would be ignored in silence otherwise.
    """
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper.startswith(NO_KEYS) or not environ[name]:
            continue
        label = f".env: {name}" if name in from_file else f"environment variable {name}"
        parts = name[len(PREFIX) :].split("__")
        path = locate(parts)
        if parts[0].lower() in _LISTS:
            problems.add(label, (), "a list cannot be set by a variable; write it in the YAML")
        elif path is None:
            problems.add(label, (), _unknown(name))
        elif not is_single(path):
            problems.add(label, (), "names a section; add __KEY to the variable's name")
        else:
            _override(draft, path, environ[name], label, problems)


def apply_flags(draft: Draft, flags: Mapping[str, Any], problems: Problems) -> None:
    """Put flags, by dotted key, over everything else. A flag that is None was not given."""
    for key, value in flags.items():
        if value is None:
            continue
        path: KeyPath = tuple(key.split("."))
        if not is_known(path):
            problems.add("command line", path, "unknown key")
            continue
        plain = str(value) if isinstance(value, Path) else value
        _override(draft, path, plain, "command line", problems)


def _override(draft: Draft, path: KeyPath, value: Any, label: str, problems: Problems) -> None:
    try:
        check_text(value if isinstance(value, str) else "")
    except ValueError as error:
        problems.add(label, path, str(error))
    else:
        draft.override(path, value, label)


def _unknown(name: str) -> str:
    names = ["__".join(str(part) for part in path).upper() for path in single_keys()]
    close = nearest(name[len(PREFIX) :], names)
    hint = f"did you mean {PREFIX}{close}?" if close else "unset it, or see docs/configuration.md"
    return f"fits no key of the configuration; {hint}"
