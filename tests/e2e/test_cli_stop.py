"""Ctrl-C once, twice, kill -9; then ``resume`` and ``retry``. No result is lost or repeated."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest


@pytest.fixture
def slow(small: Any) -> Any:
    """Four quick cases, then four that wait for a gate."""
    small.write("rules.yaml", "- {contains: nothing, reply: x}\n")
    small.cases(
        *({"case_id": f"c{n}", "input": "x", "expected": "x"} for n in range(4)),
        *(
            {"case_id": f"c{n}", "input": "x", "expected": "x", "gate": f"gate-{n}"}
            for n in range(4, 8)
        ),
    )
    return small


def started(project: Any, *more: str) -> subprocess.Popen[str]:
    """A run that has done its quick cases and waits in two others."""
    args = ("run", "--run-id", "r1", "-a", "first", *more)
    process: subprocess.Popen[str] = project.start(*args)
    project.wait_for_results("r1", 4)
    project.wait_for_began("gate-4", "gate-5")
    return process


def cases(project: Any) -> Counter[str]:
    return Counter(json.loads(line)["result"]["key"]["case_id"] for line in project.lines("r1"))


def agents_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    return [child for child in found if "agent.py" in " ".join(child.cmdline())]


class TestFirstSignal:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_running_cases_finish_and_no_new_ones_start(self, slow: Any, number: int) -> None:
        process = started(slow)
        process.send_signal(number)
        said = read_until(process, "finishing 2 running cases")
        assert "press Ctrl-C again to stop now" in said
        slow.open_gates()
        ended = slow.ended(process)
        assert ended.code == 130
        assert cases(slow) == Counter(f"c{n}" for n in range(6))
        assert "pacabench resume r1" in ended.out

    def test_resume_runs_the_rest_and_only_that(self, slow: Any) -> None:
        process = started(slow)
        process.send_signal(signal.SIGINT)
        read_until(process, "finishing 2 running cases")
        slow.open_gates()
        slow.ended(process)
        ended = slow.run("resume")
        assert ended.code == 0, ended.err
        assert "run r1: 8 cases" in ended.err
        assert "6 decided before" in ended.err
        assert cases(slow) == Counter(f"c{n}" for n in range(8))
        assert slow.run("resume").code == 1  # nothing is unfinished any more

    def test_before_the_first_case_it_ends_at_once(self, slow: Any) -> None:
        text = (slow.path / "pacabench.yaml").read_text()
        slow.write(
            "pacabench.yaml",
            text.replace("first, command: python agent.py", "first, command: x, setup: sleep 4"),
        )
        process = slow.start("run", "--run-id", "r1", "-a", "first")
        assert "preparing" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        ended = slow.ended(process)
        assert ended.code == 130
        assert "stopping; press Ctrl-C again" in ended.err
        assert slow.lines("r1") == []


class TestSecondSignal:
    def test_it_stops_now_and_leaves_nothing_running(self, slow: Any) -> None:
        process = started(slow)
        agents = agents_of(process)
        assert len(agents) >= 2
        process.send_signal(signal.SIGINT)
        assert "finishing" in read_until(process, "finishing")
        process.send_signal(signal.SIGINT)
        ended = slow.ended(process)
        assert ended.code == 130
        assert "stopping now" in ended.err
        assert "pacabench resume r1" in ended.err
        assert psutil.wait_procs(agents, timeout=10)[1] == []
        assert cases(slow) == Counter(f"c{n}" for n in range(4))
        slow.open_gates()
        assert slow.run("resume", "-q").code == 0
        assert cases(slow) == Counter(f"c{n}" for n in range(8))

    def test_it_names_a_run_that_lies_elsewhere_by_its_path(self, slow: Any) -> None:
        process = slow.start("run", "-a", "first", "--run-id", "r1", "--runs-dir", "else")
        slow.wait_for_began("gate-4", "gate-5")
        process.send_signal(signal.SIGINT)
        read_until(process, "finishing")
        process.send_signal(signal.SIGINT)
        assert f"pacabench resume {slow.path}/else/r1" in slow.ended(process).err

    def test_quiet_says_what_signals_do(self, slow: Any) -> None:
        process = started(slow, "-q")
        process.send_signal(signal.SIGINT)
        read_until(process, "finishing 2 running cases")
        process.send_signal(signal.SIGINT)
        read_until(process, "stopping now")
        ended = slow.ended(process)
        assert (ended.code, ended.out) == (130, "")
        assert "pacabench resume r1" in ended.err


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"{text!r} was never said")


class TestKill:
    def test_kill_9_then_resume_repeats_nothing(self, slow: Any) -> None:
        process = started(slow)
        process.kill()
        slow.ended(process)
        assert "interrupted" in slow.run("show").out
        slow.open_gates()
        ended = slow.run("resume", "r1")
        assert ended.code == 0, ended.err
        assert cases(slow) == Counter(f"c{n}" for n in range(8))
        assert "finished" in slow.run("show").out

    def test_a_run_that_is_held_is_refused_by_name(self, slow: Any) -> None:
        process = started(slow)
        ended = slow.run("resume", "r1")
        assert ended.code == 1
        assert f"pid {process.pid}" in ended.err
        assert "running" in slow.run("show").out
        slow.open_gates()
        assert slow.ended(process).code == 0


class TestRetry:
    def test_what_did_not_pass_is_run_again_and_stays_on_record(self, small: Any) -> None:
        small.run("run", "--run-id", "r1", "-q")
        ended = small.run("retry", "r1")
        assert ended.code == 0, ended.err
        assert len(small.lines("r1")) == 8
        assert "attempt 2" in ended.err
        assert ended.err.splitlines()[1].startswith("[5/6]")

    def test_only_narrows_it(self, small: Any) -> None:
        small.run("run", "--run-id", "r1", "-q")
        ended = small.run("retry", "r1", "--only", "timeout,agent_error", "-q")
        assert ended.code == 0, ended.err
        assert len(small.lines("r1")) == 6

    def test_a_partial_id_that_fits_two_runs_lists_them(self, small: Any) -> None:
        for name in ("night-1", "night-2"):
            small.run("run", "--run-id", name, "-q", "--limit", "1")
        ended = small.run("retry", "night")
        assert ended.code == 1
        assert "night-1" in ended.err
        assert "night-2" in ended.err
        assert small.run("retry", "t-2").code == 0


def test_a_closed_terminal_stops_the_run_in_good_order(slow: Any) -> None:
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [slow.command, "run", "--run-id", "r1", "-a", "first"],
        cwd=slow.path,
        env=slow.environment(TERM="xterm"),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=take_terminal,  # noqa: PLW1509 - no threads here; setsid alone gives no terminal
    )
    slow.started.append(process)
    os.close(follower)
    slow.wait_for_began("gate-4", "gate-5")
    os.close(leader)
    time.sleep(1)  # the signal is on its way; nothing can be read any more
    slow.open_gates()
    assert process.wait(timeout=60) == 130
    assert cases(slow) == Counter(f"c{n}" for n in range(6))
    assert Path(slow.path, "runs", "r1", "run.json").is_file()


def take_terminal() -> None:
    import fcntl  # noqa: PLC0415 - runs in the child
    import termios  # noqa: PLC0415

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class TestSuspended:
    """Ctrl-Z, and `fg` when every deadline has long passed."""

    def test_no_case_is_timed_out_by_it_and_it_is_said(self, slow: Any) -> None:
        text = (slow.path / "pacabench.yaml").read_text()
        slow.write("pacabench.yaml", text.replace("timeout_seconds: 30", "timeout_seconds: 4"))
        process = started(slow)
        process.send_signal(signal.SIGSTOP)
        slow.open_gates()  # the agents answer now, and nobody listens
        time.sleep(5)
        process.send_signal(signal.SIGCONT)
        ended = slow.ended(process)
        assert ended.code == 0, ended.err
        assert "the harness stood still for" in ended.err
        outcomes = [json.loads(line)["result"]["outcome"] for line in slow.lines("r1")]
        assert outcomes == ["passed"] * 8
