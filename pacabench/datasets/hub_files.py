"""Which files of a data set on the hub are a configuration's split.

What the data set's card says (``configs``) decides; where it says nothing, the hub's conventions
for names do: ``data/train-00000-of-00002.parquet``, ``CONFIG/test.jsonl``.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pacabench.datasets.gzipped import format_of

SUFFIXES = (
    ".parquet", ".jsonl", ".jsonl.gz", ".json", ".csv", ".csv.gz", ".tsv", ".tsv.gz"
)  # fmt: skip
"""In the order in which one is preferred, where a data set is there in several."""
_SHOWN = 20
_KNOWN_SPLITS = ("train", "validation", "valid", "dev", "test")


@dataclass(frozen=True, slots=True)
class Choice:
    """Files, in order."""

    files: Sequence[str]
    settled: bool
    """They are the split; else rows of it are to be chosen by their column ``split``."""


def data_files_of(files: Iterable[str]) -> list[str]:
    """Those of ``files`` that can be read, in order."""
    hidden = re.compile(r"(^|/)\.")
    return sorted(
        file
        for file in files
        if format_of(PurePosixPath(file)) in SUFFIXES and not hidden.search(file)
    )


def choose_files(
    files: Sequence[str], card: dict[str, Any], config: str | None, split: str | None
) -> Choice:
    """The files of ``split`` in ``config``; without them of the only one that there is.

    Raises:
        ValueError: there is none, or more than one to choose from; says which.
    """
    present = data_files_of(files)
    described = [entry for entry in card.get("configs") or () if isinstance(entry, dict)]
    described = [entry for entry in described if entry.get("data_files")]
    if described:
        splits = _splits_of(_config_of(described, config), present)
        return Choice(_one_split(splits, split), settled=True)
    return _by_name(present, config, split)


def _config_of(described: list[dict[str, Any]], config: str | None) -> dict[str, Any]:
    names = [str(entry.get("config_name", "default")) for entry in described]
    if config is None:
        first = [entry for entry in described if entry.get("default")]
        if len(described) == 1 or first:
            return (first or described)[0]
        config = "default"
    if config not in names:
        raise ValueError(f"say with `config` which of: {', '.join(names[:_SHOWN])}")
    return described[names.index(config)]


def _splits_of(entry: dict[str, Any], present: list[str]) -> dict[str, list[str]]:
    """Split to files, from any of the forms that a card has them in."""
    described = entry["data_files"]
    if isinstance(described, dict):
        pairs = list(described.items())
    elif isinstance(described, list) and all(isinstance(item, dict) for item in described):
        pairs = [(item.get("split", "train"), item.get("path")) for item in described]
    else:
        pairs = [("train", described)]
    folder = str(entry.get("data_dir") or "")
    splits: dict[str, list[str]] = {}
    for split, patterns in pairs:
        listed = patterns if isinstance(patterns, list) else [patterns]
        wanted = [str(PurePosixPath(folder, str(pattern))) for pattern in listed]
        found = [file for file in present if any(fnmatch.fnmatchcase(file, it) for it in wanted)]
        splits.setdefault(str(split), []).extend(found)
    return splits


def _one_split(splits: dict[str, list[str]], split: str | None) -> list[str]:
    names = ", ".join(splits) or "none"
    if split is None and len(splits) == 1:
        (found,) = splits.values()
    elif split is None:
        raise ValueError(f"say with `split` which of: {names}")
    elif split not in splits:
        raise ValueError(f"has no split {split!r}; there are: {names}")
    else:
        found = splits[split]
    if not found:
        raise ValueError("its card names files that are not there, or in no format that is read")
    return found


def _by_name(present: list[str], config: str | None, split: str | None) -> Choice:
    fitting = _in_config(present, config)
    if split is not None:
        named = [file for file in fitting if _has_word(file, split)]
        if named:
            return Choice(_one_format(named), settled=True)
        splits = sorted(
            {word for word in _KNOWN_SPLITS for file in fitting if _has_word(file, word)}
        )
        if splits:
            raise ValueError(f"has no files of split {split!r}; there are: {', '.join(splits)}")
    chosen = _one_format(fitting)
    words = {word for word in _KNOWN_SPLITS for file in chosen if _has_word(file, word)}
    if split is None and len(words) > 1:
        raise ValueError(f"say with `split` which of: {', '.join(sorted(words))}")
    return Choice(chosen, settled=False)


def _in_config(present: list[str], config: str | None) -> list[str]:
    if config is None:
        folders = {PurePosixPath(file).parts[0] for file in present if "/" in file} - {"data"}
        if len(folders) > 1:
            listed = ", ".join(sorted(folders)[:_SHOWN])
            raise ValueError(f"say with `config` which of: {listed}")
        return present
    fitting = [file for file in present if _has_word(file, config)]
    if not fitting:
        raise ValueError(f"has no files of configuration {config!r}")
    return fitting


def _has_word(file: str, word: str) -> bool:
    """Whether ``word`` stands in the path between ends, slashes, dots, dashes or underscores."""
    return re.search(rf"(?:^|[/._-]){re.escape(word)}(?:[/._-]|$)", file) is not None


def _one_format(files: list[str]) -> list[str]:
    for suffix in SUFFIXES:
        of_format = [file for file in files if file.endswith(suffix)]
        if of_format:
            return of_format
    raise ValueError("has no files in a format that is read")
