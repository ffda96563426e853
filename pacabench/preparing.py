"""Data sets prepared in containers: what a command is given, and what is kept of it.

It is given copies of files, and what it makes is kept below the cache by a hash of all that it was
given. A result is there whole or not at all: it gets its name when it is done.
"""

import asyncio
import contextlib
import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pacabench.config.load import LoadedConfig
from pacabench.config.prepare import PrepareConfig
from pacabench.datasets.base import Place, Prepared, Unprepared, printable
from pacabench.datasets.command import locked
from pacabench.datasets.narration import Narration
from pacabench.durable import sync_directory, sync_tree
from pacabench.errors import DatasetError, EngineUnreachableError, SandboxError, WeakSandboxError
from pacabench.events import Listener
from pacabench.left_files import Wanted, is_runnable, is_safe_name
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.images.requirement_files import requirements_content
from pacabench.sandbox.docker.images.source_files import exactly, scan_source

_LAYOUT = "2"
"""Part of every key: changes when the same input would be placed or taken in another way."""
_PROJECT = "project"
_DATA = "data"
_NEVER = (".git", ".env", ".env.*", "*.log", "nohup.out")
_LEFT_OUT = "left-out.txt"
"""Beside what was taken, what was not: a line each."""
_MOST_FILES = 100_000
_POLL_S = 0.1
_ON_HOST = "`prepare: {command: ..., where: host}` runs it on this machine, with your rights"


@dataclass(frozen=True, slots=True)
class Contained:
    """Prepares in containers. Lives in the event loop, and is called in threads beside it."""

    loaded: LoadedConfig
    listener: Listener
    loop: asyncio.AbstractEventLoop
    allow_weak: bool = False
    """Go on where the container does not hold what is promised of it."""

    def __call__(self, wanted: Unprepared, place: Place) -> Prepared:
        """See :data:`~pacabench.datasets.base.Contain`."""
        given = _given(wanted, self.loaded)
        key = _key(wanted, given, self.loaded)
        kept = place.cache / "prepared" / key
        try:
            timeout_s = wanted.config.timeout_seconds
            with locked(kept.with_suffix(".lock"), "prepare", timeout_s, place.cancelled):
                if not kept.is_dir():
                    self._make(wanted, given, kept, place)
                _tell_of_left_out(kept, place)
        except OSError as error:
            raise DatasetError(f"prepare: {error}") from error
        return Prepared(kept / given.data, kept / given.base if given.base is not None else None)

    def _make(self, wanted: Unprepared, given: "_Given", kept: Path, place: Place) -> None:
        """Whatever ends this process: ``kept`` is whole, or not there."""
        partial = kept.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            self._run(wanted, given, partial, place)
            if not (partial / given.data).exists():
                raise DatasetError(
                    f"prepare ended well and made nothing: {printable(wanted.config.command)}\n"
                    "  It must write to $PACABENCH_DATASET_PATH; it ran in a container, and "
                    f"nothing else of what it writes is kept. {_ON_HOST}."
                )
            sync_tree(partial)  # else a power cut could leave the name, and empty files
            partial.replace(kept)
            sync_directory(kept.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _run(self, wanted: Unprepared, given: "_Given", into: Path, place: Place) -> None:
        from pacabench.sandbox.docker.preparing import (  # noqa: PLC0415 - heavy
            Preparation,
            run_preparation,
        )

        config = wanted.config
        reach = "no network" if config.network == "none" else "the engine's network"
        place.tell(f"prepare runs in a container, with {reach}: {printable(config.command)}")
        narration = Narration(place.tell)
        preparation = Preparation(
            name=wanted.name,
            config=config,
            project=self.loaded.project,
            requirements=_requirements(config, self.loaded),
            files=given.files,
            data=given.data,
            wanted=Wanted(given.patterns, most_files=_MOST_FILES, most_bytes=config.size),
        )
        try:
            ran = self._wait(
                run_preparation(
                    preparation,
                    into,
                    cache_dir=self.loaded.cache_directory,
                    listener=self.listener,
                    hear=narration.feed,
                    allow_weak=self.allow_weak,
                ),
                place.cancelled,
            )
        except EngineUnreachableError as error:
            raise EngineUnreachableError(
                f"dataset {wanted.name!r}: prepare runs in a container: {error}\n  {_ON_HOST}."
            ) from error
        except WeakSandboxError as error:
            raise WeakSandboxError(f"dataset {wanted.name!r}: {error}") from error
        except SandboxError as error:
            raise DatasetError(f"prepare cannot be run: {error}{_advice(str(error))}") from error
        narration.finish()
        if ran.end is None or ran.end.exit_code:
            raise DatasetError(_failure(config, ran.end, narration.tail))
        (into / _LEFT_OUT).write_text("".join(f"{text}\n" for text in ran.left_out), "utf-8")

    def _wait(self, work: Coroutine[Any, Any, Any], cancelled: Callable[[], bool]) -> Any:
        """The result of ``work``, which runs in the event loop; ended when nobody wants it."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        while not wait([future], _POLL_S).done:
            if cancelled():
                future.cancel()
                raise DatasetError("prepare was cut off")
        try:
            return future.result()
        except CancelledError:
            raise DatasetError("prepare was cut off") from None


@dataclass(frozen=True, slots=True)
class _Given:
    """What a command finds, and what is taken of it. Names are below its area."""

    files: Sequence[tuple[str, Path | None]]
    data: str
    patterns: tuple[str, ...]
    base: str | None
    """Stands for the project's directory; None: it is not among what is taken."""


def _given(wanted: Unprepared, loaded: LoadedConfig) -> _Given:
    """Its project, and the data: within the project where they lie there."""
    root = loaded.resolve(wanted.config.source or Path()).resolve()
    if not root.is_dir():
        raise DatasetError(f"prepare.source: {root} is no directory")
    files: dict[str, Path | None] = {f"{_PROJECT}/": None}
    files |= {f"{_PROJECT}/{name}": path for name, path in _project(root, loaded)}
    data = Path(os.path.normpath(wanted.data))
    base: str | None = None
    if wanted.fetched:
        inside = f"{_DATA}/set"
    elif (real := data.parent.resolve() / data.name).is_relative_to(root) and real != root:
        inside, base = f"{_PROJECT}/{real.relative_to(root).as_posix()}", _PROJECT
    else:
        inside = f"{_DATA}/{data.name}"
    files |= dict(_data(data, inside))
    files.setdefault(f"{inside.rpartition('/')[0]}/", None)
    patterns = [glob.escape(inside)]
    if (
        base is not None
        and wanted.files is not None
        and wanted.files.resolve().is_relative_to(root)
    ):
        beside = wanted.files.resolve().relative_to(root).as_posix()
        patterns.append(glob.escape(f"{_PROJECT}/{beside}") if beside != "." else f"{_PROJECT}/**")
    # The project's own directory stands for `base` only if the data set's project is this one.
    if root != loaded.project.resolve():
        base = None
    _check(files, wanted.config)
    return _Given(sorted(files.items()), inside, tuple(patterns), base)


def _project(root: Path, loaded: LoadedConfig) -> Iterator[tuple[str, Path | None]]:
    """Its files: without runs, caches, secrets and the configuration itself."""
    own = (loaded.path, loaded.output_directory, loaded.cache_directory)
    ignore = [pattern for path in own if (pattern := exactly(path, root)) is not None]
    for entry in scan_source(root, [*ignore, *_NEVER]).entries:
        if entry.kind == "directory":
            yield f"{entry.path}/", None
        elif entry.source.is_file():
            yield entry.path, entry.source


def _data(data: Path, inside: str) -> Iterator[tuple[str, Path | None]]:
    if data.is_file():
        yield inside, data
    elif data.is_dir():
        yield f"{inside}/", None
        for path in sorted(data.rglob("*")):
            name = path.relative_to(data)
            if path.is_symlink() or ".git" in name.parts:
                continue
            if path.is_dir():
                yield f"{inside}/{name.as_posix()}/", None
            elif path.is_file():
                yield f"{inside}/{name.as_posix()}", path


def _check(files: dict[str, Path | None], config: PrepareConfig) -> None:
    for name in files:
        if not is_safe_name(name.rstrip("/")):
            raise DatasetError(f"prepare cannot be given a file of the name {name!r:.200}")
    size = sum(path.stat().st_size for path in files.values() if path is not None)
    if size > config.size or len(files) > _MOST_FILES:
        raise DatasetError(
            f"prepare would be given {len(files)} files of {size} bytes, and gets a container "
            f"with room for {config.size}; name the directory with what it needs as "
            "`prepare.source`, or raise `prepare.size`"
        )


def _key(wanted: Unprepared, given: _Given, loaded: LoadedConfig) -> str:
    """Stands for all that decides what comes out."""
    config = wanted.config
    settings = (config.command, config.image or "", config.network, sorted(config.env.items()))
    content = hashlib.sha256(repr((_LAYOUT, settings, given.data, given.patterns)).encode())
    requirements = _requirements(config, loaded)
    if requirements is not None:
        content.update(requirements_content(requirements).encode())
    for name, path in given.files:
        content.update(f"{name}\0{is_runnable(path):d}".encode(errors="surrogateescape"))
        if path is not None:
            with path.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:32]


def _requirements(config: PrepareConfig, loaded: LoadedConfig) -> Path | None:
    if config.requirements is None:
        return None
    path = loaded.resolve(config.requirements)
    if not path.is_file():
        raise DatasetError(f"prepare.requirements: there is no file {path}")
    return path


def _tell_of_left_out(kept: Path, place: Place) -> None:
    """Each time: that something is missing is no news of the first run alone."""
    with contextlib.suppress(FileNotFoundError):  # made by an earlier version
        for text in (kept / _LEFT_OUT).read_text("utf-8").splitlines():
            place.tell(f"prepare: not taken out of its container: {text}")


def _failure(config: PrepareConfig, end: Any, tail: str) -> str:
    """What happened, the end of the output, and what to do."""
    if end is None:
        how = f"did not end within {config.timeout_seconds:g} s (`prepare.timeout_seconds`)"
    elif end.out_of_memory:
        how = f"needs more than {config.memory} bytes of memory (`prepare.memory`)"
    elif end.signal is not None:
        how = f"failed with signal {end.signal}"
    else:
        how = f"failed with exit code {end.exit_code}"
    offline = " without a network (`prepare.network: engine` gives it one)"
    return (
        f"prepare {how}: {printable(config.command)}{tail}\n"
        f"  It ran in a container{offline if config.network == 'none' else ''}. {_ON_HOST}."
    )


def _advice(text: str) -> str:
    return "; raise `prepare.size`" if "No space left" in text else ""


def resolve_preparers(loaded: LoadedConfig) -> list[SandboxAgent]:
    """What the images of all that is prepared in containers are made of."""
    from pacabench.sandbox.docker.preparing import image_of  # noqa: PLC0415 - heavy

    return [
        image_of(item.name, item.prepare, _requirements(item.prepare, loaded), loaded.project)
        for item in loaded.config.datasets
        if item.prepare is not None and item.prepare.where == "container"
    ]


def with_containers(
    place: Place, loaded: LoadedConfig, listener: Listener, *, allow_weak: bool
) -> Place:
    """``place`` with containers to prepare data in, where the configuration has them."""
    if loaded.config.sandbox.kind != "docker":
        return place
    contained = Contained(loaded, listener, asyncio.get_running_loop(), allow_weak)
    return replace(place, contain=contained)
