"""Files that are not what they seem, where the harness reads: sources, data sets, runs."""

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pacabench.audit.attack import Alter, Attack, ControlDrive, Drive, Observation
from pacabench.audit.bench import Bench
from pacabench.audit.drives.images import write_project
from pacabench.audit.drives.talk import remark
from pacabench.audit.ground import Ground
from pacabench.sandbox.docker.images.source_files import scan_source
from pacabench.sandbox.docker.images.tree import pack

_SECRET = b"a secret of the user's"
_COMMAND_WITHIN_S = 30.0
_HANGS_S = 1.0
_MOST_READ = 64 * 1024**2
_BOUNDED = 'ulimit -v 4194304; exec "$@"'
"""A command that reads without an end must not take the machine's memory: 4 GiB of addresses."""


def in_a_folder(work: Callable[[Path, Ground], Observation]) -> Drive:
    """``work`` in a folder of its own, off the event loop."""

    async def drive(bench: Bench, _: Attack, __: Alter | None) -> Observation:
        return await asyncio.to_thread(_in_a_folder, work, bench.ground)

    return drive


def naive_in_a_folder(work: Callable[[Path, Ground], Observation]) -> ControlDrive:
    """The same for a control."""

    async def drive(bench: Bench, _: Attack) -> Observation:
        return await asyncio.to_thread(_in_a_folder, work, bench.ground)

    return drive


def _in_a_folder(work: Callable[[Path, Ground], Observation], ground: Ground) -> Observation:
    with tempfile.TemporaryDirectory(prefix="pacabench-audit-") as name:
        return work(Path(name), ground)


def _linked_source(root: Path) -> Path:
    """A source with links that lead out of it, by every way."""
    (root / "secret").write_bytes(_SECRET)
    (root / "private").mkdir()
    (root / "private" / "key").write_bytes(_SECRET)
    source = root / "agent"
    source.mkdir()
    (source / "agent.py").write_text("pass\n", encoding="ascii")
    (source / "relative").symlink_to("../secret")
    (source / "absolute").symlink_to(root / "secret")
    (source / "folder").symlink_to("../private")
    (source / "chain").symlink_to("folder/key")
    (source / "loop").symlink_to("loop")
    return source


def linked_source(root: Path, _: Ground) -> Observation:
    """As an image's source is read."""
    packed = io.BytesIO()
    tree = scan_source(_linked_source(root), [])
    pack([("", tree)], into=packed)
    links = [entry.path for entry in tree.entries if entry.kind == "link"]
    return remark(_SECRET in packed.getvalue() or bool(links), links=links)


def followed_source(root: Path, _: Ground) -> Observation:
    """As a tool packs it that follows links."""
    source = _linked_source(root)
    (source / "loop").unlink()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        tar.add(source, "agent")
    return remark(_SECRET in packed.getvalue())


def _reads(program: str, *arguments: str, within_s: float) -> str | None:
    """What a Python program printed; None: it did not end."""
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return ended.stdout.decode(errors="replace") + ended.stderr.decode(errors="replace")


_SCAN = """
import sys
from pathlib import Path
from pacabench.sandbox.docker.images.source_files import scan_source
from pacabench.sandbox.docker.images.tree import pack
tree = scan_source(Path(sys.argv[1]), [])
print(pack([("", tree)]), [entry.path for entry in tree.entries])
"""
_OPEN = """
import sys
from pathlib import Path
print(len(Path(sys.argv[1]).open("rb").read(int(sys.argv[2]))))
"""


def source_with_fifo(root: Path, _: Ground) -> Observation:
    """As an image's source is read: a FIFO, which nobody writes to, is no file."""
    source = root / "agent"
    source.mkdir()
    (source / "agent.py").write_text("pass\n", encoding="ascii")
    os.mkfifo(source / "fifo")
    said = _reads(_SCAN, str(source), within_s=_COMMAND_WITHIN_S)
    return remark(said is None or "fifo" in said or "agent.py" not in said, said=said)


def fifo_opened(root: Path, _: Ground) -> Observation:
    """As a tool reads it that opens whatever is there: it hangs."""
    os.mkfifo(root / "fifo")
    return remark(_reads(_OPEN, str(root / "fifo"), "1", within_s=_HANGS_S) is None)


def device_read(_: Path, __: Ground) -> Observation:
    """As a tool reads a data set that reads to the end: there is none."""
    said = _reads(_OPEN, "/dev/zero", str(_MOST_READ), within_s=_COMMAND_WITHIN_S)
    return remark((said or "").strip() == str(_MOST_READ), said=said)


def _command(project: Path, *arguments: str) -> tuple[int | None, str]:
    """The command's exit code, None when it hung, and what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PACABENCH_")}
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", _BOUNDED, "sh", sys.executable, "-m", "pacabench", *arguments],
            cwd=project,
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, "it hung"
    return ended.returncode, ended.stderr.decode(errors="replace")[-500:]


def odd_data_set(make: Callable[[Path], None]) -> Callable[[Path, Ground], Observation]:
    """The command has to refuse a data set that is no file."""

    def work(root: Path, ground: Ground) -> Observation:
        write_project(ground, root)
        data = root / "data" / "words.jsonl"
        data.unlink()
        make(data)
        code, said = _command(root, "run", "--sandbox", "process")
        refused = code not in {None, 0} and "words.jsonl" in said and "Traceback" not in said
        return remark(not refused, code=code, said=said)

    return work


def fifo(path: Path) -> None:
    """A FIFO that nobody writes to."""
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A file without an end."""
    path.symlink_to("/dev/zero")


@contextmanager
def _victim(root: Path) -> Iterator[Path]:
    victim = root / "victim"
    victim.write_bytes(_SECRET)
    yield victim


def odd_journal(make: Callable[[Path, Path], None]) -> Callable[[Path, Ground], Observation]:
    """A run's journal that is no file: reading it must not hang, writing not reach the victim."""

    def work(root: Path, ground: Ground) -> Observation:
        project = root / "project"
        write_project(ground, project)
        _run_by_scripts(project)
        with _victim(root) as victim:
            journal = project / "runs" / "odd" / "results.jsonl"
            journal.unlink()
            make(journal, victim)
            said = {
                name: _command(project, *arguments)
                for name, arguments in {
                    "show": ("show", "odd"),
                    "resume": ("resume", "odd"),
                }.items()
            }
            touched = victim.read_bytes() != _SECRET
        refused = all(code not in {None, 0} and "Trace" not in text for code, text in said.values())
        return remark(touched or not refused, said={k: list(v) for k, v in said.items()})

    return work


def linked_journal(journal: Path, victim: Path) -> None:
    """A link to somebody's file."""
    journal.symlink_to(victim)


def fifo_journal(journal: Path, _: Path) -> None:
    """A FIFO."""
    os.mkfifo(journal)


def appended(root: Path, _: Ground) -> Observation:
    """As a tool that appends to whatever is there."""
    with _victim(root) as victim:
        (root / "results.jsonl").symlink_to(victim)
        with (root / "results.jsonl").open("ab") as file:
            file.write(b"{}\n")
        return remark(victim.read_bytes() != _SECRET)


def _run_by_scripts(project: Path) -> None:
    """A finished run without an engine: the project's own agent, which prints one line."""
    with contextlib.suppress(FileNotFoundError):
        (project / "runs" / "earlier" / "run.json").unlink()
    _command(project, "run", "--sandbox", "process", "--run-id", "odd", "-q")
