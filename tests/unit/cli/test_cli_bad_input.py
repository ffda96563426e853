"""Every kind of bad input, through the whole command: what is said, the exit code, nothing written.

What each fault is called in detail stands in ``config/test_faults.py`` and ``datasets/``; here is
that all of them end in the same good order.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pacabench.cli.app import app
from pacabench.cli.exit import run_guarded

CONFIG = """\
name: bad
config: {proxy: {provider: scripted}}
sandbox: {kind: process}
agents: [{name: a, command: python agent.py}]
datasets: [{name: d, source: d.jsonl}]
"""
ROW = json.dumps({"input": "q", "expected": "a"}) + "\n"
FILES: dict[str, bytes | str] = {"pacabench.yaml": CONFIG, "d.jsonl": ROW, "agent.py": ""}

CONFIGURATIONS: dict[str, tuple[bytes | str, str]] = {
    "empty": ("", "pacabench.yaml:1: name: is missing"),
    "not YAML": ("name: [", "pacabench.yaml:1"),
    "a tab": ("name: x\n\tagents: 1", "pacabench.yaml:2"),
    "not text": (b"\xff\xfe\x00name", "pacabench.yaml"),
    "a list": ("- name", "pacabench.yaml"),
    "a key twice": (CONFIG + "name: again\n", "pacabench.yaml:6"),
    "an unknown key": (CONFIG + "dataset: []\n", "did you mean"),
    "a wrong type": (CONFIG.replace("{provider: scripted}", "7"), "config.proxy"),
    "an unknown provider": (CONFIG.replace("scripted", "scirpted"), "scripted"),
    "no agents": (CONFIG.replace("[{name: a, command: python agent.py}]", "[]"), "agents"),
    "a name twice": (
        CONFIG.replace("agents: [", "agents: [{name: a, command: x}, "),
        "agents",
    ),
    "a variable that is not set": (CONFIG + "author: ${NO_SUCH_VARIABLE}\n", "NO_SUCH_VARIABLE"),
    "a source that is not there": (
        CONFIG.replace("agent.py}", "agent.py, source: nowhere}"),
        "agents.a.source",
    ),
    "requirements that are not there": (
        CONFIG.replace("agent.py}", "agent.py, requirements: r.txt}"),
        "agents.a.requirements",
    ),
    "an evaluator that does not exist": (
        CONFIG.replace("d.jsonl}", "d.jsonl, evaluator: {type: exact}}"),
        "exact_match",
    ),
    "a pattern that is none": (
        CONFIG.replace("d.jsonl}", "d.jsonl, evaluator: {type: numeric, extract: '('}}"),
        "extract",
    ),
    "a function that is not there": (
        CONFIG.replace("d.jsonl}", "d.jsonl, evaluator: {type: python, function: 'no.py:f'}}"),
        "dataset 'd'",
    ),
}
DATA: dict[str, tuple[bytes | str | None, str]] = {
    "missing": (None, "there is no such file"),
    "empty": ("", "d.jsonl: has no rows"),
    "blank lines": ("\n\n", "d.jsonl: has no rows"),
    "not JSON": (ROW + "{\n", "d.jsonl:2: not JSON"),
    "UTF-16": (ROW.encode("utf-16"), "d.jsonl:1: is UTF-16"),
    "not UTF-8": (b'{"input": "\xff"}\n', "d.jsonl:1"),
    "a list": ("[1]\n", "d.jsonl:1: must be an object"),
    "no such column": ('{"question": 1}\n', "input_map.input"),
    "a null question": ('{"input": null}\n', "is null"),
    "an id twice": ('{"case_id": 1, "input": 1, "expected": 2}\n' * 2, "duplicate case id"),
    "no expected answer": ('{"input": "q"}\n', "`expected` is empty"),
    "an empty expected answer": ('{"input": "q", "expected": " "}\n', "`expected` is empty"),
    "an integer past 64 bits": ('{"input": 18446744073709551616}\n', "64 bits"),
    "NaN": ('{"input": NaN}\n', "not JSON"),
    "half a character": ('{"input": "\\ud800"}\n', "d.jsonl:1"),
    "a deep row": ('{"input": ' + "[" * 5000 + "]" * 5000 + "}\n", "d.jsonl:1"),
    "control characters": ("\x1b]0;owned\x07\n", "d.jsonl:1"),
}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs ``pacabench`` here, and checks that it left everything as it was."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, **files: bytes | str | None) -> tuple[int, str, str]:
        for name, content in {
            **FILES,
            **{k.replace("_", "."): v for k, v in files.items()},
        }.items():
            if content is not None:
                data = content if isinstance(content, bytes) else content.encode()
                (tmp_path / name).write_bytes(data)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        code = run_guarded(lambda: app(list(args)))
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert after == before, "something was written"
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def check(ended: tuple[int, str, str], code: int, text: str) -> None:
    found, out, err = ended
    assert text in " ".join(err.split()), err
    assert (found, out) == (code, "")
    assert "Traceback" not in err
    assert "This is a bug" not in err
    assert "\x1b]0" not in err


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_is_refused_with_its_place(command: Command, name: str) -> None:
    content, text = CONFIGURATIONS[name]
    check(command("run", pacabench_yaml=content), 1, text)


@pytest.mark.parametrize("name", DATA)
def test_data_are_refused_with_their_line(command: Command, name: str) -> None:
    content, text = DATA[name]
    check(command("run", d_jsonl=content), 1, text)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["run", "-c", "gone.yaml"], 1, "pacabench init"),
        (["run", "-a", "b"], 2, "there is no agent 'b'"),
        (["run", "-d", "e"], 2, "there is no dataset 'e'"),
        (["run", "--run-id", "../x"], 2, "cannot be a run id"),
        (["resume"], 1, "unfinished"),
        (["resume", "nothing"], 1, "holds no runs"),
        (["retry", "nothing"], 1, "holds no runs"),
        (["retry", "x", "--only", "tiemout"], 2, "did you mean 'timeout'"),
        (["show", "nothing"], 1, "holds no runs"),
        (["show", "nothing", "--case", "c"], 1, "holds no runs"),
        (["show", "--failures"], 2, "need a RUN"),
        (["export", "nothing", "-o", "file.json"], 1, "holds no runs"),
        (["compare", "nothing", "other"], 1, "holds no runs"),
        (["show-config", "-c", "gone.yaml"], 1, "there is no file gone.yaml"),
        (["init", "."], 1, "Nothing was written"),
    ],
)
def test_a_command_line_is_refused(command: Command, args: list[str], code: int, text: str) -> None:
    check(command(*args), code, text)


RUNS = {
    "no manifest": {},
    "an empty manifest": {"run.json": b""},
    "a manifest of something else": {"run.json": b'{"name": 1}'},
    "a manifest of a newer version": {"run.json": b'{"schema_version": 99}'},
    "a manifest that is no text": {"run.json": b"\xff" * 100},
}


@pytest.mark.parametrize("args", [["show", "r"], ["export", "r"], ["resume", "r"], ["retry", "r"]])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_cannot_be_read_is_named_and_left_alone(
    command: Command, tmp_path: Path, name: str, args: list[str]
) -> None:
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    for file, content in RUNS[name].items():
        (folder / file).write_bytes(content)
    wanted = "run.json" if RUNS[name] else "holds no runs"
    code, _, err = command(*args)
    assert code == 1
    assert wanted in err
    assert "This is a bug" not in err
