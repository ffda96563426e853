"""What a ``source`` names, ready to be read: ``git:``, ``huggingface:``, ``python:``, files."""

import re
from dataclasses import replace
from pathlib import Path

from pacabench.config.masking import mask
from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import Place, Source, Unprepared
from pacabench.datasets.git import GitSource, open_git
from pacabench.datasets.huggingface import open_huggingface
from pacabench.datasets.local import is_pattern, matches, open_local, open_pattern
from pacabench.datasets.prepare import container_for, prepare, prepared_copy
from pacabench.datasets.python import open_python
from pacabench.errors import DatasetError
from pacabench.user_code import module_file

GIT = "git:"
HUGGING_FACE = "huggingface:"
PYTHON = "python:"
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def open_source(config: DatasetConfig, place: Place) -> Source:
    """The rows of ``config.source``; fetched, and made by ``prepare``, where that is due. Blocks.

    Raises:
        DatasetError: it cannot be found, fetched or made.
    """
    source = config.source
    if source.startswith(GIT):
        return _from_git(config, place)
    if source.startswith((HUGGING_FACE, PYTHON)):
        if config.prepare is not None:
            raise DatasetError(f"`prepare` does not go together with {source.partition(':')[0]}:")
        if source.startswith(PYTHON):
            return open_python(source.removeprefix(PYTHON), config.split, place)
        name = source.removeprefix(HUGGING_FACE)
        return open_huggingface(name, config.config, config.split, place)
    if is_pattern(source, place.project):
        if config.prepare is not None:
            raise DatasetError("`prepare` needs a file or a directory as `source`, and no pattern")
        return open_pattern(source, config.split, place.project)
    return _from_files(config, place)


def _from_files(config: DatasetConfig, place: Place) -> Source:
    source = config.source
    path = place.project / source
    if _REMOTE.match(source) and not path.exists():
        raise DatasetError(
            f"source {mask(source, ())!r}: is neither a path nor git:, huggingface: or python:; "
            "fetch the data yourself and give the path"
        )
    if config.prepare is None:
        return open_local(path, config.split, place.project, source)
    files = place.project / config.files.directory if config.files is not None else None
    wanted = Unprepared(config.name, config.prepare, path.absolute(), files=files)
    if (contain := container_for(wanted, place)) is None:
        prepare(config.prepare, path, place)
        return open_local(path, config.split, place.project, source)
    made = contain(wanted, place)
    found = open_local(made.data, config.split, made.base or place.project, source)
    return replace(found, base=made.base)


def _from_git(config: DatasetConfig, place: Place) -> Source:
    named = GitSource.parse(config.source.removeprefix(GIT))
    checkout = open_git(named, place)
    folder = checkout.folder
    if config.prepare is not None:
        wanted = Unprepared(config.name, config.prepare, folder.absolute(), fetched=True)
        contain = container_for(wanted, place)
        if contain is None:
            folder = prepared_copy(config.prepare, folder, place)
        else:
            folder = contain(wanted, place).data
    shown = f"{named.shown}@{checkout.commit[:12]}"
    if named.path and is_pattern(named.path, folder):
        source = open_pattern(named.path, config.split, folder)
    else:
        source = open_local(folder / named.path, config.split, folder, named.path or shown)
    return Source(source.parts, source.split, checkout.commit, checkout.notices, base=folder)


def is_fetched(source: str) -> bool:
    """Whether reading ``source`` may take a while, because it lies elsewhere."""
    return source.startswith((GIT, HUGGING_FACE))


def own_paths(source: str, project: Path) -> list[Path]:
    """What of ``project`` a source is made of, and no agent may have in its image."""
    if source.startswith(PYTHON):
        file = module_file(source.removeprefix(PYTHON).partition(":")[0], project)
        return [file] if file is not None else []
    if source.startswith(GIT):
        return [project / GitSource.parse(source.removeprefix(GIT)).url]
    if is_pattern(source, project):
        return matches(source, project)
    return [project / source]
