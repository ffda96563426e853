"""Who owns a container or a run, and whether they still live."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil

from pacabench.owner import current_owner, is_alive


class TestCurrentOwner:
    def test_is_the_same_on_every_reading(self) -> None:
        assert current_owner() == current_owner()

    def test_names_this_process(self) -> None:
        assert current_owner().pid == os.getpid()

    def test_an_owner_read_in_another_process_differs_only_in_the_process(self) -> None:
        code = "from pacabench.owner import current_owner as c; o = c(); print(o.machine, o.boot)"
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        mine = current_owner()
        assert out.stdout.decode().split() == [mine.machine, mine.boot]


class TestIsAlive:
    def test_this_process_lives(self) -> None:
        assert is_alive(current_owner())

    def test_a_start_that_went_through_a_label_is_the_same_start(self) -> None:
        owner = current_owner()
        assert is_alive(replace(owner, started=float(f"{owner.started:.3f}")))

    def test_a_pid_used_again_by_another_process_is_dead(self) -> None:
        owner = current_owner()
        assert not is_alive(replace(owner, started=owner.started - 5))

    def test_a_process_from_before_the_restart_is_dead(self) -> None:
        assert not is_alive(replace(current_owner(), boot="0" * 16))

    def test_another_machine_counts_as_alive(self) -> None:
        assert is_alive(replace(current_owner(), machine="0" * 16, boot="", pid=2**22))

    def test_a_killed_process_is_dead_before_and_after_it_is_reaped(self) -> None:
        code = (
            "import sys, time; from pacabench.owner import current_owner as c; o = c();"
            "print(o.pid, o.started, flush=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            pid, started = child.stdout.readline().split()
            owner = replace(current_owner(), pid=int(pid), started=float(started))
            assert is_alive(owner)
            child.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
            assert not is_alive(owner)
            child.wait()
            assert not is_alive(owner)
