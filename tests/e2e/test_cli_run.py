"""``pacabench run`` from the command line to results on disk, in the process sandbox."""

import json
import subprocess
import sys
from typing import Any

import pytest


class TestRun:
    def test_a_run_ends_with_a_summary_on_stdout_and_progress_on_stderr(self, small: Any) -> None:
        ended = small.run("run", "--run-id", "r1")
        assert ended.code == 0, ended.err
        assert "66.7%" in ended.out
        assert "pacabench show r1 --failures" in ended.out
        assert "run r1: 6 cases, 2 agents, process sandbox" in ended.err
        assert "[6/6]" in ended.err
        assert "\x1b" not in ended.out + ended.err
        assert len(small.lines("r1")) == len(small.lines("r1", "calls.jsonl")) == 6

    def test_the_scripted_provider_is_named_as_what_it_is(self, small: Any) -> None:
        ended = small.run("run", "--limit", "1")
        assert "built-in `scripted` provider" in ended.out

    def test_quiet_leaves_one_line(self, small: Any) -> None:
        ended = small.run("run", "-q", "--run-id", "r1")
        assert ended.err == ""
        assert ended.out == (
            "r1: 66.7% accuracy, 4 passed, 2 failed, 0 infrastructure of 6 cases, "
            "6 calls, scripted\n"
        )

    def test_json_lines_tell_every_event(self, small: Any) -> None:
        ended = small.run("run", "--log-format", "json", "--limit", "1", "-a", "first")
        events = [json.loads(line) for line in ended.err.splitlines()]
        names = [event["event"] for event in events]
        for name in ("run_started", "attempt_started", "call_finished", "attempt_finished"):
            assert names.count(name) == 1
        assert names[-1] == "run_finished"
        assert events[-1]["passed"] == 1
        assert events[-1]["exit_code"] == 0

    def test_agents_datasets_and_limit_narrow_it(self, small: Any) -> None:
        ended = small.run("run", "-q", "-a", "second", "-d", "words", "--limit", "2")
        assert "2 passed, 0 failed, 0 infrastructure of 2 cases" in ended.out

    def test_flags_win_over_variables_and_those_over_the_file(self, small: Any) -> None:
        small.cases({"input": "one", "expected": "one", "sleep_s": 20})
        ended = small.run(
            "run", "-q", "--timeout", "0.5", "-a", "first", PACABENCH_CONFIG__TIMEOUT_SECONDS="15"
        )
        assert "0 passed, 1 failed" in ended.out

    def test_runs_can_be_kept_elsewhere(self, small: Any) -> None:
        ended = small.run("run", "--limit", "1", "--runs-dir", "else where", "--run-id", "r1")
        assert (small.path / "else where" / "r1" / "run.json").is_file()
        assert f"pacabench export '{small.path}/else where/r1'" in ended.out
        shown = small.run("show", f"{small.path}/else where/r1")
        assert shown.code == 0

    def test_the_config_can_lie_elsewhere(self, small: Any) -> None:
        outside = small.path.parent
        small.path, inside = outside, small.path
        ended = small.run("run", "-q", "-c", str(inside / "pacabench.yaml"), "--limit", "1")
        assert ended.code == 0, ended.err
        assert len(list((inside / "runs").iterdir())) == 1


class TestInfrastructure:
    def test_a_run_with_infrastructure_outcomes_says_so_loudly_and_exits_3(
        self, small: Any
    ) -> None:
        small.write("rules.yaml", "- {contains: two, status: 500, reply: broken}\n")
        ended = small.run("run", "--run-id", "r1", "-a", "first")
        assert ended.code == 3
        assert "provider_error" in ended.err
        assert "1 case ended by infrastructure (1 provider_error)" in ended.out
        assert "pacabench resume r1" in ended.out

    def test_resume_makes_it_good_and_runs_nothing_else(self, small: Any) -> None:
        small.write("rules.yaml", "- {contains: two, status: 500, reply: broken}\n")
        small.run("run", "--run-id", "r1", "-a", "first")
        small.write("rules.yaml", "- {contains: nothing, reply: x}\n")
        ended = small.run("resume", "r1", "-q", "--accept-changes")
        assert ended.code == 0, ended.err
        assert "3 passed" in ended.out
        assert len(small.lines("r1")) == 4

    def test_an_agent_that_kills_itself_each_time_ends_as_what_it_is(self, small: Any) -> None:
        small.write("agent.py", "import os, signal\nos.killpg(0, signal.SIGKILL)\n")
        text = (small.path / "pacabench.yaml").read_text()
        small.write("pacabench.yaml", text.replace("max_retries: 0", "max_retries: 2"))
        ended = small.run("run", "--run-id", "r1", "-a", "first")
        assert ended.code == 0, ended.err
        results = [json.loads(line)["result"] for line in small.lines("r1")]
        assert [(item["outcome"], item["number"]) for item in results] == [("agent_error", 1)] * 3
        assert all("signal 9" in item["error"] for item in results)
        assert small.run("resume", "r1", "-q").code == 0
        assert len(small.lines("r1")) == 3


class TestExistingRunId:
    def test_it_is_resumed(self, small: Any) -> None:
        small.run("run", "--run-id", "r1")
        ended = small.run("run", "--run-id", "r1")
        assert ended.code == 0
        assert len(small.lines("r1")) == 6

    def test_with_other_cases_it_is_refused_with_what_changed(self, small: Any) -> None:
        small.run("run", "--run-id", "r1", "--limit", "1")
        small.cases({"case_id": "c1", "input": "other", "expected": "other"})
        ended = small.run("run", "--run-id", "r1", "--limit", "1")
        assert ended.code == 1
        assert "words" in ended.err
        assert "--accept-changes" in ended.err


class TestUsage:
    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["run", "-a", "frist"], "there is no agent 'frist'; did you mean 'first'?"),
            (["run", "-d", "wrods"], "there is no dataset 'wrods'; did you mean 'words'?"),
            (["run", "--limit", "0"], "--limit"),
            (["run", "--limit", "-3"], "--limit"),
            (["run", "--concurrency", "0"], "--concurrency"),
            (["run", "--timeout", "0"], "must be more than 0"),
            (["run", "--sandbox", "none"], "--sandbox"),
            (["run", "--run-id", "../../x"], "cannot be a run id"),
            (["run", "--rnu-id", "x"], "--run-id"),
            (["rnu"], "run"),
            (["retry"], "RUN"),
            (["retry", "x", "--only", "time_out"], "did you mean 'timeout'?"),
            (["retry", "x", "--only", "passed"], "are not run again"),
            (["show", "--cases"], "need a RUN"),
            (["show", "x", "--cases", "--failures"], "exclude each other"),
            (["export"], "RUN"),
            (["export", "x", "--format", "xml"], "--format"),
        ],
    )
    def test_a_wrong_command_line_is_2_says_what_and_does_nothing(
        self, small: Any, args: list[str], said: str
    ) -> None:
        ended = small.run(*args)
        assert ended.code == 2, ended.err
        assert said in ended.err
        assert ended.out == ""
        assert "Traceback" not in ended.err
        assert not (small.path / "runs").exists()

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["show", "nothing"], "holds no runs"),
            (["export", "nothing"], "holds no runs"),
            (["resume"], "is unfinished"),
            (["resume", "nothing"], "holds no runs"),
            (["run", "-c", "gone.yaml"], "pacabench init"),
            (["show-config", "-c", "gone.yaml"], "there is no file gone.yaml"),
        ],
    )
    def test_what_is_not_there_is_1(self, small: Any, args: list[str], said: str) -> None:
        ended = small.run(*args)
        assert ended.code == 1, ended.err
        assert ended.err.startswith("error: ")
        assert said in ended.err

    def test_a_mistake_in_the_file_names_file_line_and_key(self, small: Any) -> None:
        text = (small.path / "pacabench.yaml").read_text().replace("concurrency", "concurency")
        small.write("pacabench.yaml", text)
        ended = small.run("run")
        assert ended.code == 1
        assert "pacabench.yaml:3" in ended.err
        assert "concurrency" in ended.err
        assert not (small.path / "runs").exists()

    @pytest.mark.parametrize("args", [[], ["-h"], ["--help"], ["run", "-h"], ["images", "--help"]])
    def test_help(self, small: Any, args: list[str]) -> None:
        ended = small.run(*args)
        assert "Usage: pacabench" in ended.out + ended.err
        assert ended.code == (0 if args else 2)

    def test_version(self, small: Any) -> None:
        ended = small.run("--version")
        assert ended.code == 0
        assert ended.out.startswith("pacabench ")

    def test_a_reader_that_leaves_early_is_no_error(self, small: Any) -> None:
        small.run("run", "--run-id", "r1")
        for command in ("export r1 --include-cases", "show", "show r1 --cases"):
            process = small.start(*command.split())
            process.stdout.close()
            err = process.stderr.read()
            process.wait(timeout=60)
            assert err == "", command

    def test_an_ascii_terminal_is_no_error(self, small: Any) -> None:
        small.write("rules.yaml", '- {contains: one, reply: "Größe ✓"}\n')
        small.run("run", "--run-id", "r1")
        ended = small.run("show", "r1", "--cases", PYTHONIOENCODING="ascii", LC_ALL="C")
        assert ended.code == 0, ended.err
        assert "Gr\\xf6\\xdfe" in ended.out


def test_the_command_runs_as_a_module_too() -> None:
    command = [sys.executable, "-m", "pacabench", "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert said.stdout.startswith("pacabench ")
