"""From file, variables and flags to a configuration."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pacabench.config.load import LoadedConfig, load_config
from pacabench.errors import ConfigError

Load = Callable[..., LoadedConfig]

MINIMAL = """\
name: x
agents: [{name: a, command: c}]
datasets: [{name: d, source: s.jsonl}]
"""
OF_THE_README = """\
name: memory-benchmark
description: Evaluating long-term memory capabilities
version: "1.0.0"
config:
  concurrency: 4
  timeout_seconds: 60
agents:
  - name: "mem0-agent"
    command: "python agents/mem0_agent.py"
datasets:
  - name: "membench"
    source: "git:https://github.com/import-myself/Membench.git"
    prepare: "python scripts/prepare_membench.py"
    input_map: {input: "question", expected: "ground_truth"}
    evaluator: {type: "llm_judge", model: "gpt-4o-mini"}
output:
  directory: "./runs"
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def read(
        text: str,
        *,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> LoadedConfig:
        Path("p.yaml").write_text(text)
        return load_config(Path("p.yaml"), environ=environ or {}, flags=flags or {})

    return read


class TestExample:
    def test_the_example_of_the_format_loads_as_it_is(self, load: Load) -> None:
        config = load(OF_THE_README).config
        assert config.name == "memory-benchmark"
        assert config.config.timeout_seconds == 60
        assert config.agents[0].command == "python agents/mem0_agent.py"
        assert config.datasets[0].input_map.expected == "ground_truth"
        assert config.datasets[0].evaluator.type == "llm_judge"
        assert config.sandbox.kind == "docker"


class TestLoaded:
    def test_knows_where_it_came_from(self, load: Load, tmp_path: Path) -> None:
        loaded = load(MINIMAL)
        assert loaded.path == tmp_path.resolve() / "p.yaml"
        assert loaded.project == tmp_path.resolve()
        assert loaded.text == MINIMAL.encode()
        assert loaded.output_directory == tmp_path.resolve() / "runs"
        assert loaded.cache_directory == tmp_path.resolve() / ".pacabench/cache"

    def test_shows_no_secret_in_its_repr(self, load: Load) -> None:
        loaded = load(MINIMAL, environ={"OPENAI_API_KEY": "sk-very-secret"})
        assert "sk-very-secret" in loaded.secrets
        assert "sk-very-secret" not in repr(loaded)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda path: None, "there is no file"),
            (lambda path: path.mkdir(), "is a directory"),
            (lambda path: path.write_text("- a\n"), "must be a mapping"),
            (lambda path: path.write_text("text"), "must be a mapping"),
            (lambda path: path.write_text("a: [\n"), r"not YAML"),
            (lambda path: path.write_bytes(b"a: \xff"), r"p\.yaml:1: not UTF-8"),
        ],
    )
    def test_a_file_that_is_none_is_named(
        self, tmp_path: Path, make: Callable[[Path], object], message: str
    ) -> None:
        make(tmp_path / "p.yaml")
        with pytest.raises(ConfigError, match=message):
            load_config(tmp_path / "p.yaml", environ={})


class TestLayers:
    def test_a_variable_wins_over_the_file_and_a_flag_over_both(self, load: Load) -> None:
        text = MINIMAL + "config: {concurrency: 1, timeout_seconds: 1, max_retries: 1}\n"
        config = load(
            text,
            environ={
                "PACABENCH_CONFIG__TIMEOUT_SECONDS": "2",
                "PACABENCH_CONFIG__MAX_RETRIES": "2",
            },
            flags={"config.max_retries": 3},
        ).config.config
        assert (config.concurrency, config.timeout_seconds, config.max_retries) == (1, 2, 3)

    def test_variables_ignore_case_and_make_missing_sections(self, load: Load) -> None:
        config = load(
            MINIMAL,
            environ={
                "pacabench_Sandbox__Kind": "process",
                "PACABENCH_SANDBOX__MEMORY": "1g",
                "PACABENCH_CONFIG__PROXY__ENABLED": "no",
                "PACABENCH_CONFIG__PROXY__PROVIDERS__SCRIPTED__RULES": "r.yaml",
                "PACABENCH_OUTPUT__DIRECTORY": "/elsewhere",
                "PACABENCH_SANDBOX__BUILD__ARGS__Version": "12",
            },
        ).config
        assert config.sandbox.kind == "process"
        assert config.sandbox.memory == 1024**3
        assert config.config.proxy.enabled is False
        assert config.config.proxy.providers["scripted"].rules == Path("r.yaml")
        assert config.output.directory == Path("/elsewhere")
        assert config.sandbox.build is not None
        assert config.sandbox.build.args == {"Version": "12"}

    def test_an_empty_variable_is_not_set(self, load: Load) -> None:
        assert (
            load(MINIMAL, environ={"PACABENCH_SANDBOX__KIND": ""}).config.sandbox.kind == "docker"
        )

    @pytest.mark.parametrize(
        "name",
        ["PACABENCH_DATASET_PATH", "PACABENCH_LOG_LEVEL", "PACABENCH_TESTS_REQUIRE_DOCKER"],
    )
    def test_reserved_names_are_left_alone(self, load: Load, name: str) -> None:
        load(MINIMAL, environ={name: "x"})

    def test_a_flag_that_is_none_was_not_given(self, load: Load) -> None:
        assert load(MINIMAL, flags={"sandbox.kind": None}).config.sandbox.kind == "docker"

    def test_flags_take_typed_values_paths_and_text(self, load: Load, tmp_path: Path) -> None:
        flags = {"config.concurrency": "8", "output.directory": tmp_path, "sandbox.cpus": 0.5}
        config = load(MINIMAL, flags=flags).config
        assert config.config.concurrency == 8
        assert config.output.directory == tmp_path
        assert config.sandbox.cpus == 0.5

    def test_variables_are_taken_literally(self, load: Load) -> None:
        config = load(MINIMAL, environ={"PACABENCH_DESCRIPTION": "${NOT_EXPANDED}"}).config
        assert config.description == "${NOT_EXPANDED}"


class TestVariables:
    def test_are_expanded_in_every_string(self, load: Load) -> None:
        text = """\
name: ${A}-${B:-b}-${EMPTY:-e}
agents: [{name: a, command: 'echo $HOME $$ $${A} ${C:-}', env: {K: "${A}"}}]
datasets: [{name: d, source: s}]
"""
        config = load(text, environ={"A": "1", "EMPTY": ""}).config
        assert config.name == "1-b-e"
        assert config.agents[0].command == "echo $HOME $$ ${A} "
        assert config.agents[0].env == {"K": "1"}

    def test_what_a_variable_holds_is_not_expanded_again(self, load: Load) -> None:
        assert load(MINIMAL + "author: ${A}", environ={"A": "${A}"}).config.author == "${A}"

    def test_a_number_may_come_from_a_variable(self, load: Load) -> None:
        text = MINIMAL + "config: {concurrency: '${N}', timeout_seconds: '${T:-1.5}'}\n"
        config = load(text, environ={"N": "7"}).config.config
        assert (config.concurrency, config.timeout_seconds) == (7, 1.5)

    def test_text_from_a_variable_that_looks_like_a_number_stays_text(self, load: Load) -> None:
        assert load(MINIMAL + "author: ${A}", environ={"A": "080"}).config.author == "080"


class TestDotenv:
    def test_is_read_and_the_real_environment_wins(self, load: Load, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(
            "\ufeff# keys\nexport A='from file'\nB=from file\nPACABENCH_CONFIG__CONCURRENCY=9\n"
        )
        loaded = load(MINIMAL + "author: ${A}, ${B}", environ={"B": "real"})
        assert loaded.config.author == "from file, real"
        assert loaded.config.config.concurrency == 9
        assert loaded.environ["A"] == "from file"
        assert loaded.environ["B"] == "real"

    def test_a_line_that_is_not_understood_is_a_notice_without_its_value(
        self, load: Load, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_text("A=1\n'b c = secret\nC=3\n")
        loaded = load(MINIMAL)
        assert loaded.environ["A"] == "1"
        assert len(loaded.notices) == 1
        assert loaded.notices[0].startswith(".env:2: not understood")
        assert "secret" not in loaded.notices[0]

    def test_values_are_not_expanded(self, load: Load, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("A=${B}x\n")
        assert load(MINIMAL, environ={"B": "1"}).environ["A"] == "${B}x"

    @pytest.mark.parametrize(
        ("data", "message"),
        [(b"A=1\nB=\xff", r"\.env:2: not UTF-8"), (b"A=" + b"x" * 1024**2, "larger than")],
    )
    def test_one_that_cannot_be_read_is_an_error(
        self, load: Load, tmp_path: Path, data: bytes, message: str
    ) -> None:
        (tmp_path / ".env").write_bytes(data)
        with pytest.raises(ConfigError, match=message):
            load(MINIMAL)


class TestVerbatimText:
    def test_variables_of_agents_are_the_text_in_the_file(self, load: Load) -> None:
        text = """\
name: x
version: 1.10
sandbox: {build: {args: {N: 0x10}}}
agents:
  - name: a
    command: c
    env: {A: 1, B: yes, C: 0x10, D: 1.50, E: 080, F: "yes", G: -0, H: on}
datasets: [{name: d, source: s}]
"""
        config = load(text).config
        assert config.version == "1.10"
        assert config.agents[0].env == {
            "A": "1", "B": "yes", "C": "0x10", "D": "1.50", "E": "080", "F": "yes", "G": "-0",
            "H": "on",
        }  # fmt: skip
        assert config.sandbox.build is not None
        assert config.sandbox.build.args == {"N": "0x10"}


class TestSections:
    @pytest.mark.parametrize("section", ["config", "sandbox", "output"])
    def test_one_with_every_key_commented_out_is_left_out(self, load: Load, section: str) -> None:
        load(f"{MINIMAL}{section}:\n  # nothing: here\n")

    def test_an_agent_overrides_the_sandbox(self, load: Load) -> None:
        text = """\
name: x
sandbox: {memory: 1g, image: common}
agents:
  - {name: a, command: c, sandbox: {memory: 512m, build: {context: sub}}}
  - {name: b, command: c}
datasets: [{name: d, source: s}]
"""
        config = load(text).config
        first, second = (config.sandbox_of(agent) for agent in config.agents)
        assert first.memory == 512 * 1024**2
        assert first.image is None
        assert first.build is not None
        assert first.build.context == Path("sub")
        assert second.image == "common"
        assert second.memory == 1024**3


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = "name: x\nagents: [{name: a, command: c}]\ndatasets: [{name: d, source: s}]\n"
    (tmp_path / "pacabench.yaml").write_text(text + "config: {cache_directory: ~/.cache/p}\n")
    loaded = load_config(tmp_path / "pacabench.yaml", environ={})
    assert loaded.cache_directory == tmp_path / "home" / ".cache" / "p"
