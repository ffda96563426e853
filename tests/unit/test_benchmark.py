"""What a benchmark is made of, and above all what never reaches an agent."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pacabench.benchmark import load_benchmark, resolve_checkers
from pacabench.config.load import load_config
from pacabench.errors import ConfigError, ImageError
from pacabench.events import Event, Preparing
from pacabench.export_mark import EXPORT_MARK
from pacabench.sandbox.docker.images.source_files import scan_source
from pacabench.store import Selection

CONFIG = """\
name: unit
config: {proxy: {provider: scripted, rules: answers/rules.yaml}}
agents: [{name: a, command: python agents/a.py}]
datasets: [{name: d, source: "data/te[s]t !1.jsonl"}]
output: {directory: ./results}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "pacabench.yaml": CONFIG,
        "agents/a.py": "",
        "data/te[s]t !1.jsonl": json.dumps({"input": "q", "expected": "a"}),
        "data/vocabulary.txt": "words",
        "answers/rules.yaml": "[]",
        ".env": "OPENAI_API_KEY=sk-real",
        ".env.production": "OPENAI_API_KEY=sk-real",
        ".git/config": "",
        "results/old/run.json": "{}",
        "results/old/results.jsonl": "",
        "elsewhere/run-1/run.json": "{}",
        "elsewhere/run-1/results.jsonl": "",
        "elsewhere/run-1/config.yaml": "",
        ".pacabench/cache/wheels/x": "",
        "big/model.bin": "",
        ".pacabenchignore": "big/\n!.env\n!results\n!data/te*\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


async def sent_to_agents(project: Path) -> set[str]:
    benchmark = await load_benchmark(load_config(project / "pacabench.yaml"), Selection())
    (agent,) = benchmark.agents
    assert agent.source is not None
    tree = scan_source(agent.source, agent.ignore)
    return {entry.path for entry in tree.entries if entry.kind != "directory"}


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("waited in vain")


async def test_agents_get_their_code_and_nothing_that_holds_answers_or_keys(
    project: Path,
) -> None:
    assert await sent_to_agents(project) == {"agents/a.py", "data/vocabulary.txt"}


@pytest.mark.parametrize(
    ("dataset", "stays_out"),
    [
        ('source: "data/*.jsonl"', {"data/te[s]t !1.jsonl", "data/b.jsonl"}),
        ("source: python:rows:make", {"rows.py"}),
        (
            "source: data/b.jsonl, evaluator: {type: python, function: rows:make}",
            {"data/b.jsonl", "rows.py"},
        ),
    ],
)
async def test_whatever_the_data_are_read_and_judged_from_stays_out(
    project: Path, dataset: str, stays_out: set[str]
) -> None:
    (project / "data" / "b.jsonl").write_text('{"input": "r", "expected": "b"}')
    (project / "rows.py").write_text("def make(): yield {'input': 1, 'expected': 2}")
    (project / "pacabench.yaml").write_text(
        CONFIG.partition("datasets")[0] + f"datasets: [{{name: d, {dataset}}}]\n"
    )
    kept = {"agents/a.py", "data/vocabulary.txt", "rows.py", "data/b.jsonl", "data/te[s]t !1.jsonl",
            "results/old/run.json", "results/old/results.jsonl"}  # fmt: skip
    sent = await sent_to_agents(project)
    assert not sent & stays_out
    assert sent <= kept


async def test_a_data_set_is_read_at_the_commit_that_the_run_began_with(project: Path) -> None:
    there = project / "there"
    there.mkdir()
    git(there, "init", "-q")

    def commit(text: str) -> None:
        (there / "set.jsonl").write_text(text)
        git(there, "add", ".")
        git(there, "-c", "user.name=t", "-c", "user.email=t", "commit", "-qm", "x")

    commit('{"input": 1, "expected": 1}')
    (project / "pacabench.yaml").write_text(CONFIG.replace('"data/te[s]t !1.jsonl"', "git:there"))
    loaded = load_config(project / "pacabench.yaml")
    first = await load_benchmark(loaded, Selection())
    commit('{"input": 2, "expected": 2}')
    assert (await load_benchmark(loaded, Selection())).identity != first.identity
    again = await load_benchmark(loaded, Selection(), revisions=first.revisions)
    assert again.identity == first.identity
    assert again.revisions == first.revisions == {"d": first.datasets[0].revision}
    assert not any(path.startswith("there") for path in await sent_to_agents(project))


async def test_the_digest_follows_the_code_and_not_what_stays_out(project: Path) -> None:
    async def digest() -> str:
        benchmark = await load_benchmark(load_config(project / "pacabench.yaml"), Selection())
        return benchmark.agent_digests["a"]

    before = await digest()
    (project / ".env").write_text("OTHER=1")
    (project / "results" / "new.txt").write_text("x")
    assert await digest() == before
    (project / "agents" / "a.py").write_text("print()")
    assert await digest() != before


@pytest.mark.parametrize(
    ("line", "message"),
    [("source: nowhere", "nowhere is no directory"), ("requirements: nope.txt", "nope.txt")],
)
async def test_paths_that_lead_nowhere_are_named(project: Path, line: str, message: str) -> None:
    text = CONFIG.replace("command: python agents/a.py", f"command: x, {line}")
    (project / "pacabench.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        await load_benchmark(load_config(project / "pacabench.yaml"), Selection())


async def test_exports_stay_out_whatever_their_name(project: Path) -> None:
    (project / "notes.txt").write_text('{"schema_version": 1, "run": {"id": "x"}, "cases": []}')
    (project / "report.md").write_text(f"# run\n\n{EXPORT_MARK}\n")
    (project / "case").write_text('{\n  "schema_version": 1,\n  "run": "x", "cases": []}')
    (project / "kept.json").write_text('{"schema": 1}')

    assert await sent_to_agents(project) == {"agents/a.py", "data/vocabulary.txt", "kept.json"}


async def test_a_services_build_context_is_part_of_what_an_agent_is(project: Path) -> None:
    service = "{name: s, build: {context: s}, healthcheck: {tcp: 1}}"
    text = CONFIG.replace("agents/a.py}", f"agents/a.py, source: agents, services: [{service}]}}")
    (project / "pacabench.yaml").write_text(text)
    with pytest.raises(ImageError, match=r"`services.s.build.context`: .* is no directory"):
        await load_benchmark(load_config(project / "pacabench.yaml"), Selection())
    (project / "s").mkdir()
    (project / "s" / "Dockerfile").write_text("FROM scratch\n")
    before = await load_benchmark(load_config(project / "pacabench.yaml"), Selection())
    assert set(before.agent_files["a"]) == {"a.py", "(services.s.build)/Dockerfile"}
    (project / "s" / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    after = await load_benchmark(load_config(project / "pacabench.yaml"), Selection())
    assert after.agent_digests != before.agent_digests
    assert after.identity != before.identity


async def test_so_is_the_build_context_of_its_own_image(project: Path) -> None:
    build = "sandbox: {build: {context: image}}"
    text = CONFIG.replace("agents/a.py}", f"agents/a.py, source: agents, {build}}}")
    (project / "pacabench.yaml").write_text(text)
    (project / "image").mkdir()
    (project / "image" / "Dockerfile").write_text("FROM scratch\n")
    before = await load_benchmark(load_config(project / "pacabench.yaml"), Selection())
    assert set(before.agent_files["a"]) == {"a.py", "(sandbox.build)/Dockerfile"}
    (project / "image" / "tool.sh").write_text("true\n")
    after = await load_benchmark(load_config(project / "pacabench.yaml"), Selection())
    assert after.agent_digests != before.agent_digests
    assert after.identity != before.identity
    flags = {"sandbox.kind": "process"}
    local = await load_benchmark(load_config(project / "pacabench.yaml", flags=flags), Selection())
    assert set(local.agent_files["a"]) == {"a.py"}


async def test_an_evaluator_that_is_not_there_is_named_with_its_data_set(project: Path) -> None:
    own = "evaluator: {type: python, function: nowhere.py:check}"
    (project / "pacabench.yaml").write_text(CONFIG.replace('!1.jsonl"', f'!1.jsonl", {own}'))
    with pytest.raises(ConfigError, match=r"dataset 'd': .*nowhere\.py"):
        await load_benchmark(load_config(project / "pacabench.yaml"), Selection())


def test_what_a_run_says_stays_out_under_any_name_it_was_sent_to(project: Path) -> None:
    for name in ("night.log", "agents/nohup.out", "kept.log"):
        (project / name).write_text("run x: 3 cases")
    with (project / ".pacabenchignore").open("a") as ignore:
        ignore.write("!kept.log\n")
    script = (
        "import asyncio; from pathlib import Path; from test_benchmark import sent_to_agents\n"
        f"names = asyncio.run(sent_to_agents(Path({str(project)!r})))\n"
        f"Path({str(project / 'big' / 'names')!r}).write_text(' '.join(sorted(names)))"
    )
    with (project / "out.txt").open("w") as out, (project / "err.txt").open("w") as err:
        subprocess.run(
            [sys.executable, "-c", script],
            stdout=out,
            stderr=err,
            check=True,
            cwd=Path(__file__).parent,
        )
    sent = (project / "big" / "names").read_text().split()

    if sys.platform == "linux":
        assert sent == ["agents/a.py", "data/vocabulary.txt", "kept.log"]
    else:
        assert not {"night.log", "agents/nohup.out"} & set(sent)


@pytest.mark.parametrize("line", [b"!", b"[z-a]", b"\xff"])
async def test_a_line_that_is_no_pattern_is_named(project: Path, line: bytes) -> None:
    (project / ".pacabenchignore").write_bytes(b"big/\n" + line + b"\n")
    with pytest.raises(ConfigError, match=r"\.pacabenchignore"):
        await sent_to_agents(project)


async def test_a_prepare_is_killed_when_the_run_is_stopped_at_once(project: Path) -> None:
    command = '{command: "echo $$ > big/pid; sleep 600; : more", where: host}'
    text = CONFIG.replace("name: d,", f"name: d, prepare: {command},")
    (project / "pacabench.yaml").write_text(text)
    said: list[Event] = []
    loading = asyncio.create_task(
        load_benchmark(load_config(project / "pacabench.yaml"), Selection(), said.append)
    )
    begun = project / "big" / "pid"
    await until(lambda: begun.exists() and begun.read_text().endswith("\n"))
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await until(lambda: not psutil.pid_exists(int(begun.read_text())))

    assert said[0] == Preparing("data set d")


async def test_a_program_that_evaluates_is_part_of_what_a_run_is(project: Path) -> None:
    check = "{type: command, command: python check.py, source: checks, memory: 512m}"
    text = CONFIG.replace('!1.jsonl"}', f'!1.jsonl", evaluator: {check}}}')
    text += "sandbox: {image: mine, egress: {allow: ['example.org:443']}}\n"
    (project / "pacabench.yaml").write_text(text.replace("agents/a.py}", "agents/a.py, source: .}"))
    (project / "checks").mkdir()
    (project / "checks" / "check.py").write_text("")
    loaded = load_config(project / "pacabench.yaml")
    before = await load_benchmark(loaded, Selection())
    (program,) = before.checkers.values()
    assert program.name == "evaluator of d"
    assert (program.sandbox.memory, program.sandbox.image) == (512 * 1024**2, None)
    assert (program.sandbox.profile, program.sandbox.allowed_web) == ("strict", ())
    assert not program.takes_files
    assert [each.name for each in resolve_checkers(loaded)] == [program.name]
    assert "checks/check.py" not in await sent_to_agents(project)
    (project / "checks" / "check.py").write_text("changed")
    after = await load_benchmark(loaded, Selection())
    assert after.identity != before.identity
