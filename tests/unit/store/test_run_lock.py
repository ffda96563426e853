"""Who holds a run: one harness at a time, by name, and never a dead one."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from pacabench.errors import JournalError, RunLockedError
from pacabench.owner import current_owner
from pacabench.store.lock import lock_holder, take_lock

HOLD = """
import sys, pathlib
from pacabench.store.lock import take_lock
lock = take_lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_harness(run_dir: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


class TestTakeLock:
    def test_names_this_process_in_the_file(self, tmp_path: Path) -> None:
        lock = take_lock(tmp_path)
        content = orjson.loads((tmp_path / "lock").read_bytes())
        assert (content["host"], content["pid"]) == (socket.gethostname(), os.getpid())
        assert lock.previous is None
        lock.release()
        assert (tmp_path / "lock").read_bytes() == b""

    def test_the_second_harness_is_refused_with_the_first_ones_host_and_pid(
        self, tmp_path: Path
    ) -> None:
        with another_harness(tmp_path) as child:
            with pytest.raises(RunLockedError) as raised:
                take_lock(tmp_path)
            assert f"host {socket.gethostname()}, pid {child.pid}" in str(raised.value)

    def test_so_is_a_second_one_in_the_same_process(self, tmp_path: Path) -> None:
        lock = take_lock(tmp_path)
        with pytest.raises(RunLockedError):
            take_lock(tmp_path)
        lock.release()
        take_lock(tmp_path).release()

    def test_a_killed_harness_is_succeeded_and_named(self, tmp_path: Path) -> None:
        with another_harness(tmp_path) as child:
            child.send_signal(signal.SIGKILL)
            child.wait()
            lock = take_lock(tmp_path)
        assert lock.previous is not None
        assert lock.previous.pid == child.pid
        lock.release()

    def test_one_that_was_killed_while_it_wrote_its_name_too(self, tmp_path: Path) -> None:
        (tmp_path / "lock").write_bytes(b'{"host":"h')
        lock = take_lock(tmp_path)
        assert lock.previous is None
        lock.release()

    def test_a_reader_that_asks_who_holds_it_does_not_get_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "lock").write_bytes(orjson.dumps(current_owner()))
        for _ in range(20):
            assert lock_holder(tmp_path) is None
            take_lock(tmp_path).release()

    def test_a_symbolic_link_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "lock").symlink_to("/dev/null")
        with pytest.raises(JournalError, match="symbolic link"):
            take_lock(tmp_path)

    def test_release_twice_closes_nothing_of_others(self, tmp_path: Path) -> None:
        lock = take_lock(tmp_path)
        lock.release()
        with (tmp_path / "other").open("wb") as file:
            lock.release()
            file.write(b"x")


class TestWithoutKernelLocks:
    """Some network file systems know no flock: then the name in the file decides."""

    @pytest.fixture(autouse=True)
    def _no_flock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unsupported(fd: int, operation: int) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(fcntl, "flock", unsupported)

    def test_a_living_holder_is_respected(self, tmp_path: Path) -> None:
        take_lock(tmp_path)
        with pytest.raises(RunLockedError, match=f"pid {os.getpid()}"):
            take_lock(tmp_path)

    def test_a_dead_one_is_not(self, tmp_path: Path) -> None:
        dead = replace(current_owner(), started=1.0)
        (tmp_path / "lock").write_bytes(orjson.dumps(dead))
        lock = take_lock(tmp_path)
        assert lock.previous == dead


class TestLockHolder:
    def test_is_nobody_where_there_is_no_lock(self, tmp_path: Path) -> None:
        assert lock_holder(tmp_path) is None

    def test_is_the_harness_that_lives(self, tmp_path: Path) -> None:
        with another_harness(tmp_path) as child:
            holder = lock_holder(tmp_path)
            assert holder is not None
            assert holder.pid == child.pid
            child.kill()
            child.wait()
            assert lock_holder(tmp_path) is None

    def test_one_of_another_machine_is_judged_by_the_kernels_lock(self, tmp_path: Path) -> None:
        far = replace(current_owner(), machine="elsewhere", boot="", pid=1)
        (tmp_path / "lock").write_bytes(orjson.dumps(far))
        assert lock_holder(tmp_path) is None
        lock = take_lock(tmp_path)
        (tmp_path / "lock").write_bytes(orjson.dumps(far))
        assert lock_holder(tmp_path) == far
        lock.release()
