"""``show`` and ``export`` on a finished run: tables for people, JSON for programs."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from pacabench.sandbox.docker.images.source_files import scan_source
from pacabench.testing import Reply, provider_in_thread

ESCAPES = "\\u001b]0;owned\\u0007\\u001b[2J\\u202e"


@pytest.fixture
def done(small: Any) -> Any:
    small.run("run", "--run-id", "night-1", "-q")
    return small


class TestShow:
    def test_without_a_run_it_lists_them(self, done: Any) -> None:
        done.run("run", "--run-id", "night-2", "-q", "--limit", "1")
        lines = done.run("show").out.splitlines()
        assert [line.split()[0] for line in lines] == ["Run", "night-2", "night-1"]
        assert len(done.run("show", "--limit", "1").out.splitlines()) == 2

    def test_an_empty_place_says_what_to_do(self, small: Any) -> None:
        ended = small.run("show")
        assert ended.code == 0
        assert "pacabench run" in ended.out

    def test_a_part_of_the_id_is_enough(self, done: Any) -> None:
        assert "66.7%" in done.run("show", "ight-1").out

    def test_cases_and_failures(self, done: Any) -> None:
        cases = done.run("show", "night", "--cases")
        assert cases.out.count("passed") == 4
        assert "more cases" in done.run("show", "night", "--cases", "--limit", "2").out
        failures = done.run("show", "night", "--failures").out
        assert failures.count("wrong") == 2
        assert "three" in failures
        assert "c1" not in failures

    def test_one_case_in_full(self, done: Any) -> None:
        shown = done.run("show", "night", "--case", "c3").out
        assert "first / words / c3" in shown
        assert "second / words / c3" in shown
        assert "chat.completions" in shown

    def test_a_case_that_is_not_there(self, done: Any) -> None:
        ended = done.run("show", "night", "--case", "c9")
        assert ended.code == 2
        assert "c9" in ended.err

    def test_a_configuration_that_cannot_be_read_hides_no_results(self, done: Any) -> None:
        done.write("pacabench.yaml", "name: [")
        ended = done.run("show", "night")
        assert ended.code == 0
        assert "66.7%" in ended.out
        assert "warning" in ended.err

    def test_a_run_while_it_goes_on(self, done: Any) -> None:
        done.cases({"case_id": "c", "input": "one", "expected": "one", "gate": "go"})
        process = done.start("run", "--run-id", "live", "-q")
        done.wait_for_began("go")
        shown = done.run("show", "live")
        assert "running" in shown.out
        done.open_gates()
        assert done.ended(process).code == 0


class TestShowJson:
    def test_the_list(self, done: Any) -> None:
        found = json.loads(done.run("show", "--json").out)
        assert found["schema_version"] == 1
        assert [(run["id"], run["status"]) for run in found["runs"]] == [("night-1", "finished")]

    def test_a_run_is_its_export(self, done: Any) -> None:
        shown = done.run("show", "night", "--json").out
        assert json.loads(shown) == json.loads(done.run("export", "night").out)

    def test_cases_failures_and_limit(self, done: Any) -> None:
        cases = json.loads(done.run("show", "night", "--cases", "--json", "--limit", "5").out)
        assert len(cases["cases"]) == 5
        failures = json.loads(done.run("show", "night", "--failures", "--json").out)
        assert [case["case_id"] for case in failures["cases"]] == ["c3", "c3"]

    def test_one_case(self, done: Any) -> None:
        found = json.loads(done.run("show", "night", "--case", "c3", "--json").out)
        first, second = found["cases"]
        assert (first["agent"], second["agent"]) == ("first", "second")
        assert first["attempts"][0]["outcome"] == "failed"
        assert first["attempts"][0]["output"] == "wrong"
        assert first["calls"][0]["call"]["provider"] == "scripted"


class TestExport:
    def test_every_format_for_programs(self, done: Any) -> None:
        rows = done.run("export", "night", "--format", "csv", "--include-cases").out.splitlines()
        assert len(rows) == 1 + 6
        assert rows[1].startswith("night-1,first,words,c1,1,passed,true,1.0,one,one,,1,")
        suites = ET.fromstring(done.run("export", "night", "--format", "junit").out)
        assert (suites.get("tests"), suites.get("failures")) == ("6", "2")
        assert done.run("export", "night", "--format", "parquet", "-o", "out.parquet").code == 0
        assert (done.path / "out.parquet").read_bytes()[:4] == b"PAR1"
        assert done.run("export", "night", "--format", "inspect").code == 2  # two logs, one stdout
        written = done.run("export", "night", "--format", "inspect", "-o", "logs").out.split()
        logs = [json.loads((done.path / name).read_text()) for name in written]
        assert [log["eval"]["model"] for log in logs] == ["pacabench/first", "pacabench/second"]
        assert [len(log["samples"]) for log in logs] == [3, 3]
        assert logs[0]["samples"][0]["input"] == "case c1"
        done.run("export", "night", "--format", "inspect", "--questions", "-o", "logs")
        log = json.loads((done.path / written[0]).read_text())
        assert [sample["input"] for sample in log["samples"]] == ["one", "two", "three"]
        done.cases({"case_id": "c1", "input": "other", "expected": "one"})
        refused = done.run("export", "night", "--format", "inspect", "--questions", "-o", "logs")
        assert refused.code == 1
        assert "other questions" in refused.err

    def test_stdout_has_the_export_and_nothing_else(self, done: Any) -> None:
        ended = done.run("export", "night", "--include-cases")
        found = json.loads(ended.out)
        assert ended.err == ""
        assert found["run"]["id"] == "night-1"
        assert len(found["cases"]) == 6
        assert "cases" not in json.loads(done.run("export", "night").out)

    def test_markdown(self, done: Any) -> None:
        ended = done.run("export", "night", "--format", "md", "--include-cases")
        assert ended.out.startswith("# small\n")
        assert "| first | words | 66.7%" in ended.out

    def test_a_file_is_written_whole_and_stdout_stays_empty(self, done: Any) -> None:
        ended = done.run("export", "night", "-o", "out.json", "--include-cases")
        assert (ended.code, ended.out) == (0, "")
        assert len(json.loads((done.path / "out.json").read_text())["cases"]) == 6

    def test_a_file_that_cannot_be_written(self, done: Any) -> None:
        ended = done.run("export", "night", "-o", "no/such/dir/out.json")
        assert ended.code == 1
        assert ended.err.startswith("error: No such file or directory")
        assert "Traceback" not in ended.err

    def test_stdout_by_its_name(self, done: Any) -> None:
        for name in ("-", "/dev/stdout"):
            assert json.loads(done.run("export", "night", "-o", name).out)["schema_version"] == 1


def test_what_agents_chose_is_shown_and_does_nothing(small: Any) -> None:
    small.write("rules.yaml", f'- {{contains: one, reply: "{ESCAPES}"}}\n')
    small.cases({"case_id": "\x1b[31mred\x07", "input": "one", "expected": "x\x1b[2J"})
    run = small.run("run", "--run-id", "r1", "-a", "first")
    outputs = [run.out, run.err]
    for args in (
        ["show", "r1"],
        ["show", "r1", "--cases"],
        ["show", "r1", "--failures"],
        ["show", "r1", "--case", "\x1b[31mred\x07"],
        ["export", "r1", "--format", "md", "--include-cases"],
        ["export", "r1", "--include-cases"],
    ):
        ended = small.run(*args)
        assert ended.code == 0, ended.err
        outputs.append(ended.out)
    for text in outputs:
        assert not set(text) & set("\x1b\x07\x9b\u202e")


def test_damage_is_named_and_not_hidden(done: Any) -> None:
    file: Path = done.path / "runs" / "night-1" / "results.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0][:20] + b"X" + lines[0][21:] + b"".join(lines[1:]))
    ended = done.run("show", "night")
    assert ended.code == 1
    assert "results.jsonl line 1" in ended.err


def test_what_is_shown_into_a_file_of_the_project_never_reaches_an_agent(done: Any) -> None:
    tables = {
        f"shown-{number}.txt": done.run("show", "night", *options).out
        for number, options in enumerate((["--failures"], ["--cases"], ["--case", "c3"]))
    }
    for name, text in tables.items():
        assert "three" in text
        done.write(name, text)
    found = {entry.path for entry in scan_source(done.path, ()).entries}
    assert "agent.py" in found
    assert found.isdisjoint(tables)


def test_a_damaged_end_that_had_counted_is_said_by_whoever_shows_it(done: Any) -> None:
    file = Path(done.path, "runs/night-1/results.jsonl")
    content = bytearray(file.read_bytes())
    content[-40] ^= 1
    file.write_bytes(content)
    before = len(content.splitlines())
    for command in (["show", "night"], ["export", "night"], ["show", "night", "--cases"]):
        ended = done.run(*command)
        assert ended.code == 0
        assert "results.jsonl: the last" in ended.err
        assert "`pacabench resume`" in ended.err
    agents = json.loads(done.run("export", "night").out)["agents"]
    assert sum(agent["pending"] for agent in agents) == 1  # of the one that ended last
    resumed = done.run("resume", "night-1")
    assert resumed.code == 0, resumed.err
    assert "cut" in resumed.err
    assert done.run("export", "night").err == ""
    assert len(file.read_bytes().splitlines()) == before


class TestEstimates:
    def test_a_provider_that_tells_no_usage_is_counted_and_marked(self, small: Any) -> None:
        with provider_in_thread(lambda _: Reply(text="forty two", usage="none")) as provider:
            text = (small.path / "pacabench.yaml").read_text()
            proxy = f"{{provider: vllm, base_url: '{provider.base_url}'}}"
            text = text.replace("{provider: scripted, rules: rules.yaml}", proxy)
            small.write("pacabench.yaml", text + "prices: {m: {input: 100, output: 1000}}\n")
            small.run("run", "--run-id", "guess", "-q", "--agents", "first")
        (billed, *_) = provider.books
        assert billed.status == 200
        shown = small.run("show", "guess").out
        assert "estimated with a tokenizer" in " ".join(shown.split())
        assert "~$" in shown
        exported = json.loads(small.run("export", "guess").out)
        (agent,) = exported["agents"]
        assert agent["estimated_calls"] == agent["calls"] == len(provider.books)
        assert agent["uncounted_calls"] == 0
        assert agent["output_tokens"] == 3 * agent["calls"]
        expected = (agent["input_tokens"] * 100 + agent["output_tokens"] * 1000) / 1e6
        assert agent["cost_usd"] == pytest.approx(expected)
        assert "own prices" in exported["run"]["prices_version"]
        assert "~" in small.run("show", "guess", "--case", "c1").out
