"""Disks that fill up, fail or cannot be written, with real file systems under a real command.

What stood on the screen as finished is on disk afterwards, whatever the disk did.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSH = 2
"""As a power cut: what was not synced is gone. See fs/ext4/ioctl.c of Linux."""
COUNT = 24


def system(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"not allowed here: {' '.join(command)}: {done.stderr.decode().strip()}")


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system at ``folder``; skips, with the reason, where mounting is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder.mkdir(exist_ok=True)
    system("mount", *options, str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def ext4(image: Path, folder: Path) -> Iterator[Path]:
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(24 * 1024**2)
        system("mkfs.ext4", "-q", str(image))
    with mounted(folder, "-o", "loop", str(image)) as disk:
        yield disk


@pytest.fixture
def wordy(small: Any) -> Any:
    """Answers of 8,000 characters; the last eight cases wait for a gate."""
    small.write("rules.yaml", f"- {{contains: word, reply: {'x' * 8000}}}\n")
    small.cases(
        *(
            {"case_id": f"c{n:02}", "input": "word", "expected": "x" * 8000}
            for n in range(COUNT - 8)
        ),
        *(
            {"case_id": f"c{n:02}", "input": "word", "expected": "x" * 8000, "gate": f"gate-{n}"}
            for n in range(COUNT - 8, COUNT)
        ),
    )
    return small


def cases(folder: Path) -> Counter[str]:
    lines = (folder / "r1" / "results.jsonl").read_bytes().splitlines()
    return Counter(json.loads(line)["result"]["key"]["case_id"] for line in lines)


def reported(said: str) -> set[str]:
    """Cases that the screen called finished."""
    return set(re.findall(r"^\[ *\d+/\d+\] passed .* words/(c\d\d) ", said, re.MULTILINE))


def test_a_full_disk_ends_the_run_and_resume_goes_on(wordy: Any, tmp_path: Path) -> None:
    wordy.open_gates()
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as disk:
        (disk / "ballast").write_bytes(b"x" * 64 * 1024)
        args = ("run", "--run-id", "r1", "-a", "first", "--runs-dir", str(disk))
        ended = wordy.run(*args)
        assert ended.code == 1
        assert "No space left on device" in ended.err
        assert f"pacabench resume {disk}/r1" in ended.err
        assert "bug" not in ended.err
        kept = cases(disk)
        assert reported(ended.err) == set(kept) != set()
        # Whether the manifest, which is smaller than a result, found room to say how it ended is
        # a matter of the disk's last pages. Either way the run is not held to be complete.
        shown = wordy.run("show", "--runs-dir", str(disk)).out
        assert re.search(r"^r1 +(stopped|interrupted) ", shown, re.MULTILINE), shown

        (disk / "ballast").unlink()
        system("mount", "-o", "remount,size=4m", str(disk))
        again = wordy.run("resume", f"{disk}/r1")
        assert again.code == 0, again.err
        assert f"{len(kept)} decided before" in again.err
        assert cases(disk) == Counter(f"c{n:02}" for n in range(COUNT))


def test_a_disk_that_fails_loses_nothing_that_was_reported(wordy: Any, tmp_path: Path) -> None:
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with ext4(image, folder) as disk:
        args = ("run", "--run-id", "r1", "-a", "first", "--runs-dir", str(disk))
        process = wordy.start(*args)
        wordy.wait_for_began(f"gate-{COUNT - 8}", f"gate-{COUNT - 7}")
        shut_down(disk)
        wordy.open_gates()
        ended = wordy.ended(process)
        assert ended.code == 1
        assert "Input/output error" in ended.err
        assert "look at the system's log" in ended.err
        assert f"pacabench resume {disk}/r1" in ended.err
    # From a copy of the device: a container that was started meanwhile may hold the first mount in
    # its own mount namespace, and then the same device gives the file system that was shut down.
    after = shutil.copyfile(image, tmp_path / "after.img")
    with ext4(after, folder) as disk:  # the file system's own journal is played back
        kept = reported(ended.err)
        assert len(kept) == COUNT - 8
        assert kept <= set(cases(disk))
        again = wordy.run("resume", f"{disk}/r1")
        assert again.code == 0, again.err
        assert cases(disk) == Counter(f"c{n:02}" for n in range(COUNT))


def shut_down(disk: Path) -> None:
    handle = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
    except OSError as error:
        pytest.skip(f"this kernel does not shut a file system down: {error}")
    finally:
        os.close(handle)


def test_a_disk_that_cannot_be_written_is_named_before_anything_runs(
    wordy: Any, tmp_path: Path
) -> None:
    wordy.open_gates()
    args = ("run", "--run-id", "r1", "-a", "first", "--limit", "2")
    with mounted(tmp_path / "disk", "-t", "tmpfs", "tmpfs") as disk:
        assert wordy.run(*args, "--runs-dir", str(disk)).code == 0
        system("mount", "-o", "remount,ro", str(disk))
        for command in (
            ("run", "--run-id", "r2", "--runs-dir", str(disk)),
            ("retry", f"{disk}/r1"),
        ):
            ended = wordy.run(*command)
            assert ended.code == 1, command
            assert "mounted read-only" in ended.err, command
        shown = wordy.run("show", f"{disk}/r1")
        assert (shown.code, "finished" in shown.out) == (0, True)
        assert wordy.run("export", f"{disk}/r1", "--include-cases").code == 0
        assert [path.name for path in disk.iterdir()] == ["r1"]
