"""``prepare`` on the host: the user's own command that makes a data set.

Only where the user says so, or where there are no containers: it has the user's rights, in the
project's directory. It runs once, and again when the command, a file that the command names or the
data themselves have changed.
"""

import contextlib
import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pacabench.config.prepare import PrepareConfig
from pacabench.datasets.base import Contain, Place, Unprepared, printable
from pacabench.datasets.command import locked, run_command
from pacabench.datasets.local import data_files
from pacabench.datasets.narration import Narration
from pacabench.durable import sync_directory, sync_tree
from pacabench.errors import DatasetError


def container_for(wanted: Unprepared, place: Place) -> Contain | None:
    """What prepares it in a container; None: it is prepared on this machine."""
    return place.contain if wanted.config.where == "container" else None


def prepare(config: PrepareConfig, source: Path, place: Place) -> None:
    """Run ``command`` in the project, unless it was run for exactly this state before.

    ``PACABENCH_DATASET_PATH`` in its environment is the absolute path of ``source``, which it may
    make, or change. Two harnesses never run it at the same time. Once nobody wants the data any
    more it is killed.

    Raises:
        DatasetError: it failed, was killed or did not end in time; with the end of its output.
    """
    command, timeout_s = config.command, config.timeout_seconds
    stamps = place.cache / "prepare"
    try:
        stamps.mkdir(parents=True, exist_ok=True)
        lock = stamps / f"{_state(command, source.absolute(), ())}.lock"
        with locked(lock, "prepare", timeout_s, place.cancelled):
            if (stamps / _digest(command, source, place.project)).exists():
                return
            _run(config, source, place)
            (stamps / _digest(command, source, place.project)).touch()
    except OSError as error:
        raise DatasetError(f"prepare: {error}") from error


def prepared_copy(config: PrepareConfig, folder: Path, place: Place) -> Path:
    """``folder``, which is fetched and never changes, as ``command`` makes a copy of it.

    The copy is made once for each content and command; one that was cut off is made anew.

    Raises:
        DatasetError: as for :func:`prepare`.
    """
    command, timeout_s = config.command, config.timeout_seconds
    key = _state(command, folder.absolute(), _named_files(command, place.project))
    copy = place.cache / "prepared" / key
    done = copy.with_suffix(".done")
    try:
        with locked(copy.with_suffix(".lock"), "prepare", timeout_s, place.cancelled):
            if not done.exists():
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(folder, copy, symlinks=True)
                _run(config, copy, place)
                sync_tree(copy)
                done.touch()
                sync_directory(done.parent)
    except OSError as error:
        raise DatasetError(f"prepare: {error}") from error
    return copy


def _digest(command: str, source: Path, project: Path) -> str:
    """Stands for everything that says whether the command has to run."""
    return _state(
        command, source.absolute(), [*_named_files(command, project), *data_files(source)]
    )


def _state(command: str, source: Path, files: Sequence[Path]) -> str:
    content = hashlib.sha256(f"{command}\0{source}\0".encode())
    for file in files:
        content.update(f"{file}\0".encode(errors="surrogateescape"))
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:32]


def _named_files(command: str, project: Path) -> list[Path]:
    """Files that stand in the command by name, such as its script."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    files: list[Path] = []
    for word in words:
        with contextlib.suppress(OSError):  # a word too long for a name
            if (file := project / word).is_file():
                files.append(file)
    return files


def _run(config: PrepareConfig, source: Path, place: Place) -> None:
    command = config.command
    why = "" if config.where == "host" else ", because the process sandbox has no containers"
    place.tell(f"prepare runs on this machine, with your rights{why}: {printable(command)}")
    narration = Narration(place.tell)
    ended = run_command(
        ["/bin/sh", "-c", command],
        what="prepare",
        cwd=place.project,
        env=_environment({**place.environ, **config.env}, source),
        timeout_s=config.timeout_seconds,
        cancelled=place.cancelled,
        hear=narration.feed,
    )
    narration.finish()
    if ended.code != 0:
        raise DatasetError(f"prepare failed with {ended.how}: {command}{ended.tail}")


def _environment(environ: Mapping[str, str], source: Path) -> dict[str, str]:
    """``environ``, with our own Python last on PATH: a command may say ``python`` and find none."""
    path = environ.get("PATH", os.defpath)
    return {
        **environ,
        "PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}",
        "PACABENCH_DATASET_PATH": str(source.absolute()),
    }
