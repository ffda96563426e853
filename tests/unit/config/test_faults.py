"""Every fault: its line, its key, and the name that was meant."""

from pathlib import Path

import pytest

from pacabench.config.load import load_config
from pacabench.errors import ConfigError

AGENTS = "agents: [{name: a, command: c}]\n"
DATASETS = "datasets: [{name: d, source: s}]\n"


def faults(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """The lines of the error, with the file as ``F``."""
    file = tmp_path / "F"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ=environ or {})
    return str(caught.value).replace(str(file), "F").splitlines()


def evaluator(text: str) -> str:
    return f"name: x\n{AGENTS}datasets:\n  - name: d\n    source: s\n    evaluator: {text}\n"


ONE_FAULT = [
    # unknown keys
    (f"nam: x\nname: x\n{AGENTS}{DATASETS}", "F:1: nam: unknown key; did you mean 'name'?"),
    (
        f"name: x\n{AGENTS}{DATASETS}concurrency: 4\n",
        "F:4: concurrency: unknown key here; did you mean 'config.concurrency'?",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config:\n  time-out-seconds: 4\n",
        "F:5: config.time-out-seconds: unknown key; did you mean 'timeout_seconds'?",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}output:\n  zzz: 4\n",
        "F:5: output.zzz: unknown key; known here: directory",
    ),
    (
        f"name: x\nagents:\n  - name: a\n    comand: x\n    command: c\n{DATASETS}",
        "F:4: agents[0].comand: unknown key; did you mean 'command'?",
    ),
    (
        f"name: x\nagents: [{{name: a, command: c, sandbox: {{kind: docker}}}}]\n{DATASETS}",
        "F:2: agents[0].sandbox.kind: unknown key here; did you mean 'sandbox.kind'?",
    ),
    (
        evaluator("{type: numeric, toleranc: 1}"),
        "F:6: datasets[0].evaluator.toleranc: unknown key; did you mean 'tolerance'?",
    ),
    # missing keys
    (f"{AGENTS}{DATASETS}", "F:1: name: is missing"),
    (f"name: x\n{DATASETS}", "F:1: agents: is missing"),
    (f"name: x\nagents:\n  - name: a\n{DATASETS}", "F:3: agents[0].command: is missing"),
    (evaluator("{tolerance: 1}"), "F:6: datasets[0].evaluator: `type` is missing"),
    # wrong types
    (f"name: 5\n{AGENTS}{DATASETS}", "F:1: name: must be text, not 5; put it in quotes"),
    (f"name:\n{AGENTS}{DATASETS}", "F:1: name: must be text, not empty"),
    (f"name: ''\n{AGENTS}{DATASETS}", "F:1: name: must not be empty"),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{concurrency: many}}\n",
        "F:4: config.concurrency: must be a whole number, not 'many'",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{concurrency: '4'}}\n",
        "F:4: config.concurrency: must be a whole number, not '4'",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{concurrency: true}}\n",
        "F:4: config.concurrency: must be a whole number, not True",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{timeout_seconds: soon}}\n",
        "F:4: config.timeout_seconds: must be a number, not 'soon'",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{proxy: {{enabled: 1}}}}\n",
        "F:4: config.proxy.enabled: must be true or false, not 1",
    ),
    (f"name: x\nagents: a\n{DATASETS}", "F:2: agents: must be a list, not 'a'"),
    (f"name: x\nagents: []\n{DATASETS}", "F:2: agents: must not be empty"),
    (f"name: x\nagents: [a]\n{DATASETS}", "F:2: agents[0]: must be a mapping, not 'a'"),
    (f"name: x\n{AGENTS}{DATASETS}output: [a]\n", "F:4: output: must be a mapping, not a list"),
    (
        f"name: x\nagents: [{{name: a, command: c, env: {{A: }}}}]\n{DATASETS}",
        "F:2: agents[0].env.A: must be text, not empty",
    ),
    (
        f"name: x\nagents: [{{name: a, command: c, env: {{'A=B': c}}}}]\n{DATASETS}",
        "F:2: agents[0].env.A=B: 'A=B' is no name for an environment variable",
    ),
    (
        f'name: "a\\e[31m"\n{AGENTS}{DATASETS}',
        "F:1: name: a name takes no control characters",
    ),
    # wrong values
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{concurrency: 0}}\n",
        "F:4: config.concurrency: must be greater than or equal to 1, not 0",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{timeout_seconds: .nan}}\n",
        "F:4: config.timeout_seconds: must be a finite number, not nan",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}sandbox: {{kind: dokcer}}\n",
        "F:4: sandbox.kind: must be one of docker, process, not 'dokcer'; did you mean 'docker'?",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}sandbox: {{memory: much}}\n",
        "F:4: sandbox.memory: 'much' is no size; write for example 512m or 2g",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}sandbox: {{image: a, build: {{}}}}\n",
        "F:4: sandbox: give either `image` or `build`, not both",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{proxy: {{providers: {{opnai: {{}}}}}}}}\n",
        (
            "F:4: config.proxy.providers.opnai: must be one of openai, azure_openai, anthropic, "
            "gemini, mistral, deepseek, groq, openrouter, together, ollama, vllm, bedrock, "
            "scripted, not 'opnai'; "
            "did you mean 'openai'?"
        ),
    ),
    (
        evaluator("{type: numerc}"),
        (
            "F:6: datasets[0].evaluator: `type` must be one of exact_match, contains, regex, "
            "numeric, f1, multiple_choice, json_match, similarity, python, command, llm_judge, "
            "all_of, any_of, weighted, not 'numerc'; did you mean 'numeric'?"
        ),
    ),
    (
        evaluator("{type: all_of, of: [{type: contains}, {type: f1, treshold: 1}]}"),
        "F:6: datasets[0].evaluator.of[1].treshold: unknown key; did you mean 'threshold'?",
    ),
    (
        evaluator("{type: weighted, of: [{evaluator: {type: f1, threshold: '1'}}]}"),
        "F:6: datasets[0].evaluator.of[0].evaluator.threshold: must be a number, not '1'",
    ),
    (
        evaluator("{type: any_of, of: []}"),
        "F:6: datasets[0].evaluator.of: must not be empty",
    ),
    (
        evaluator("{type: python, function: scoring.check}"),
        (
            "F:6: datasets[0].evaluator.function: 'scoring.check' must be of the form "
            "`module:function`"
        ),
    ),
    (
        evaluator("{type: json_match, json_schema: {type: objct}}"),
        (
            "F:6: datasets[0].evaluator.json_schema: is no JSON Schema: at type: 'objct' is not "
            "valid under any of the given schemas"
        ),
    ),
    (
        evaluator("{type: json_match, json_schema: {items: {$ref: 'http://h/s.json'}}}"),
        (
            "F:6: datasets[0].evaluator.json_schema: `$ref: http://h/s.json` leads out of the "
            "schema; write `#/...`"
        ),
    ),
    (
        evaluator("{type: json_match, json_schema: {pattern: '('}}"),
        (
            "F:6: datasets[0].evaluator.json_schema: is no JSON Schema: at pattern: '(' is not a "
            "'regex'"
        ),
    ),
    (
        evaluator("{type: numeric, extract: '[0-9]+'}"),
        (
            "F:6: datasets[0].evaluator.extract: '[0-9]+' has 0 groups and must have exactly one; "
            "put (...) around what is wanted"
        ),
    ),
    (
        evaluator("{type: numeric, expected_extract: '(a)(b)'}"),
        (
            "F:6: datasets[0].evaluator.expected_extract: '(a)(b)' has 2 groups and must have "
            "exactly one; write (?:...) for the others"
        ),
    ),
    (
        evaluator("{type: regex, pattern: '(a)(b)'}"),
        (
            "F:6: datasets[0].evaluator.pattern: '(a)(b)' has 2 groups and must have at most one; "
            "write (?:...) for the others"
        ),
    ),
    (
        evaluator("{type: regex, pattern: '(a'}"),
        (
            "F:6: datasets[0].evaluator.pattern: '(a' is no regular expression: missing ) at "
            "position 2"
        ),
    ),
    (
        f"name: x\n{AGENTS}datasets: [{{name: d, source: s, hide: [input]}}]\n",
        "F:3: datasets[0]: `hide` names the column that is the agent's input",
    ),
    # duplicates
    (f"name: x\n{AGENTS}{DATASETS}name: y\n", "F:4: name: duplicate key, first on line 1"),
    (
        f"name: x\nagents:\n- {{name: a, command: c}}\n- {{name: 'a ', command: c}}\n{DATASETS}",
        "F:4: agents[1].name: duplicate name 'a', first at F:3",
    ),
    (
        f"name: x\n{AGENTS}datasets:\n- {{name: d, source: s}}\n- {{name: d, source: t}}\n",
        "F:5: datasets[1].name: duplicate name 'd', first at F:4",
    ),
    # variables in the file
    (
        f"name: x\n{AGENTS}{DATASETS}author: ${{NOBODY}}\n",
        (
            "F:4: author: environment variable NOBODY is not set; set it, put it into .env, or "
            "write ${NOBODY:-default}"
        ),
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}author: ${{MODLE}}\n",
        (
            "F:4: author: environment variable MODLE is not set (there is MODEL); set it, put it "
            "into .env, or write ${MODLE:-default}"
        ),
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}config: {{concurrency: '${{NOBODY}}'}}\n",
        (
            "F:4: config.concurrency: environment variable NOBODY is not set; set it, put it into "
            ".env, or write ${NOBODY:-default}"
        ),
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}author: 'a ${{1}} b'\n",
        "F:4: author: '${1} b' is no ${NAME} or ${NAME:-default}; write $${ for a literal ${",
    ),
    (
        f"name: x\n{AGENTS}{DATASETS}author: 'a ${{X'\n",
        "F:4: author: '${X' is no ${NAME} or ${NAME:-default}; write $${ for a literal ${",
    ),
    (f'name: x\n{AGENTS}{DATASETS}author: "\\0"\n', "F:4: author: the text holds a NUL character"),
    (
        f'name: x\n{AGENTS}{DATASETS}author: "\\uD800"\n',
        "F:4: the text is not valid Unicode",
    ),
]


class TestOneFault:
    @pytest.mark.parametrize(("text", "line"), ONE_FAULT)
    def test_is_one_line(self, tmp_path: Path, text: str, line: str) -> None:
        assert faults(tmp_path, text, {"MODEL": "m"}) == [line]


class TestVariablesAndFlags:
    BASE = f"name: x\n{AGENTS}{DATASETS}"

    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            (
                "PACABENCH_CONFIG__CONCURENCY",
                "4",
                (
                    "environment variable PACABENCH_CONFIG__CONCURENCY: fits no key of the "
                    "configuration; did you mean PACABENCH_CONFIG__CONCURRENCY?"
                ),
            ),
            (
                "PACABENCH_XYZZY",
                "4",
                (
                    "environment variable PACABENCH_XYZZY: fits no key of the configuration; "
                    "unset it, or see docs/configuration.md"
                ),
            ),
            (
                "PACABENCH_SANDBOX",
                "docker",
                (
                    "environment variable PACABENCH_SANDBOX: names a section; add __KEY to the "
                    "variable's name"
                ),
            ),
            (
                "PACABENCH_AGENTS__0__NAME",
                "x",
                (
                    "environment variable PACABENCH_AGENTS__0__NAME: a list cannot be set by a "
                    "variable; write it in the YAML"
                ),
            ),
            (
                "PACABENCH_CONFIG__CONCURRENCY",
                "many",
                (
                    "environment variable PACABENCH_CONFIG__CONCURRENCY: config.concurrency: must "
                    "be a whole number, not 'many'"
                ),
            ),
            (
                "PACABENCH_SANDBOX__KIND",
                "vm",
                (
                    "environment variable PACABENCH_SANDBOX__KIND: sandbox.kind: must be one of "
                    "docker, process, not 'vm'"
                ),
            ),
        ],
    )
    def test_a_variable_is_named(self, tmp_path: Path, name: str, value: str, line: str) -> None:
        assert faults(tmp_path, self.BASE, {name: value}) == [line]

    @pytest.mark.parametrize("value", ["a\0b", "\udcff"])
    def test_text_that_no_program_takes_is_refused(self, tmp_path: Path, value: str) -> None:
        (line,) = faults(tmp_path, self.BASE, {"PACABENCH_AUTHOR": value})
        assert line.startswith("environment variable PACABENCH_AUTHOR: author: the text ")

    def test_a_variable_of_the_dotenv_file_is_named_as_such(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("PACABENCH_CONFIG__CONCURRENCY=0\n")
        assert faults(tmp_path, self.BASE) == [
            (
                ".env: PACABENCH_CONFIG__CONCURRENCY: config.concurrency: must be greater than or "
                "equal to 1, not 0"
            )
        ]

    @pytest.mark.parametrize(
        ("flags", "line"),
        [
            ({"config.timeout_seconds": -1}, "config.timeout_seconds: must be greater than 0"),
            ({"config.tmeout": 1}, "config.tmeout: unknown key"),
        ],
    )
    def test_a_flag_is_named(self, tmp_path: Path, flags: dict[str, object], line: str) -> None:
        (tmp_path / "F").write_text(self.BASE)
        with pytest.raises(ConfigError, match="command line: ") as caught:
            load_config(tmp_path / "F", environ={}, flags=flags)
        assert line in str(caught.value)

    def test_a_secret_in_the_wrong_place_is_not_shown(self, tmp_path: Path) -> None:
        text = f"{self.BASE}config: {{concurrency: '${{OPENAI_API_KEY}}'}}\n"
        lines = faults(tmp_path, text, {"OPENAI_API_KEY": "sk-0123456789"})
        assert lines == ["F:4: config.concurrency: must be a whole number, not '***'"]


class TestManyFaults:
    def test_are_all_reported_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        text = """\
name: x
name: y
agents:
  - name: a
    command: ${NOBODY}
  - name: a
    comand: c
datasets:
  - name: d
    source: 5
    evaluator: {type: regex, pattern: '['}
config: {concurency: 4}
"""
        lines = faults(tmp_path, text, {"PACABENCH_NOTHING": "1"})
        assert [line.split(": ")[0] for line in lines] == [
            "F:2", "F:5", "F:6", "F:6", "F:7", "F:10", "F:11", "F:12",
            "environment variable PACABENCH_NOTHING",
        ]  # fmt: skip

    def test_a_flood_is_cut(self, tmp_path: Path) -> None:
        text = f"name: x\n{AGENTS}{DATASETS}" + "".join(f"zz{n}: 1\n" for n in range(200))
        lines = faults(tmp_path, text)
        assert len(lines) == 51
        assert lines[-1] == "and 150 more"

    def test_control_characters_of_the_file_do_not_reach_the_screen(self, tmp_path: Path) -> None:
        text = f'name: x\n{AGENTS}{DATASETS}"\\e[31mred": 1\nauthor: ["\\e]0;x\\a"]\n'
        lines = "".join(faults(tmp_path, text))
        assert "\\x1b[31mred" in lines
        assert lines.isprintable()
