"""What is shown of a configuration, and what a run remembers of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacabench.config.canonical import canonical, differences
from pacabench.config.load import LoadedConfig, load_config
from pacabench.config.masking import MASK, hide_secrets, looks_secret, mask
from pacabench.config.schema import BenchmarkConfig
from pacabench.config.show import describe, json_schema, render_yaml

KEY = "sk-0123456789"
TEXT = """\
name: x
config: {proxy: {api_key_env: MY_LLM, base_url: "http://me:hush@llm.example/v1"}}
agents:
  - name: a
    command: run --key ${OPENAI_API_KEY} --other ${MY_LLM}
    env: {GITHUB_TOKEN: tiny, MAX_TOKENS: 5, PLAIN: "see ${OPENAI_API_KEY}."}
datasets: [{name: d, source: s}]
"""
ENVIRON = {"OPENAI_API_KEY": KEY, "MY_LLM": "mine-0123456789"}


def load(tmp_path: Path, text: str = TEXT, environ: Mapping[str, str] = ENVIRON) -> LoadedConfig:
    (tmp_path / "p.yaml").write_text(text)
    return load_config(tmp_path / "p.yaml", environ=environ)


class TestMask:
    @pytest.mark.parametrize(
        ("name", "secret"),
        [
            ("OPENAI_API_KEY", True),
            ("GITHUB_TOKEN", True),
            ("db_password", True),
            ("AWS_SECRET_ACCESS_KEY", True),
            ("MAX_TOKENS", False),
            ("KEYBOARD", False),
            ("MODEL", False),
        ],
    )
    def test_a_name_tells_by_whole_words(self, name: str, secret: bool) -> None:
        assert looks_secret(name) is secret

    def test_the_longest_secret_goes_first(self) -> None:
        assert mask("a-secret-long a-secret", {"a-secret", "a-secret-long"}) == f"{MASK} {MASK}"

    def test_users_in_urls_are_masked(self) -> None:
        assert mask("git:https://u:p@h/x @y", ()) == "git:https://***@h/x @y"


class TestDescribe:
    def test_masks_by_name_by_value_and_in_urls(self, tmp_path: Path) -> None:
        described = describe(load(tmp_path))
        agent = described["agents"][0]
        assert agent["command"] == "run --key *** --other ***"
        assert agent["env"] == {"GITHUB_TOKEN": "***", "MAX_TOKENS": "5", "PLAIN": "see ***."}
        assert described["config"]["proxy"]["base_url"] == "http://***@llm.example/v1"
        assert described["config"]["proxy"]["api_key_env"] == "MY_LLM"

    def test_no_secret_is_in_the_yaml(self, tmp_path: Path) -> None:
        text = render_yaml(describe(load(tmp_path)))
        for secret in (KEY, "mine-0123456789", "tiny", "hush"):
            assert secret not in text

    def test_what_is_shown_loads_again(self, tmp_path: Path) -> None:
        plain = "name: x\nagents: [{name: a, command: c}]\ndatasets: [{name: d, source: s}]\n"
        first = load(tmp_path, plain)
        again = load(tmp_path, render_yaml(describe(first)))
        assert canonical(again) == canonical(first)

    def test_control_characters_are_escaped(self, tmp_path: Path) -> None:
        text = TEXT + 'description: "\\e[31m"\n'
        assert "\x1b" not in render_yaml(describe(load(tmp_path, text)))


class TestSchema:
    def test_names_every_section_and_says_what_it_is(self) -> None:
        schema = json_schema()
        assert schema["$schema"].endswith("2020-12/schema")
        assert set(schema["properties"]) == set(BenchmarkConfig.model_fields)
        assert schema["additionalProperties"] is False
        json.dumps(schema)

    def test_takes_what_the_reader_takes(self) -> None:
        sandbox = json_schema()["$defs"]["SandboxConfig"]["properties"]
        kinds = {entry["type"] for entry in sandbox["memory"]["anyOf"]}
        assert kinds == {"integer", "string"}
        env = json_schema()["$defs"]["AgentConfig"]["properties"]["env"]
        assert env["additionalProperties"]["type"] == ["string", "number", "boolean"]


class TestCanonical:
    def test_is_plain_json_and_the_same_on_every_load(self, tmp_path: Path) -> None:
        first = canonical(load(tmp_path))
        assert json.loads(json.dumps(first)) == first
        assert canonical(load(tmp_path)) == first

    def test_holds_no_secret_but_tells_that_one_changed(self, tmp_path: Path) -> None:
        old = canonical(load(tmp_path))
        new = canonical(load(tmp_path, environ={**ENVIRON, "OPENAI_API_KEY": "sk-9876543210"}))
        text = json.dumps(old)
        for secret in (KEY, "mine-0123456789", "tiny", "hush"):
            assert secret not in text
        changed = [line.split(":")[0] for line in differences(old, new)]
        assert changed == ["agents.a.command", "agents.a.env.PLAIN"]

    @pytest.mark.parametrize(
        "change",
        [
            "description: other",
            "author: me",
            "version: 7",
            "output: {directory: elsewhere}",
        ],
    )
    def test_what_does_not_decide_results_is_left_out(self, tmp_path: Path, change: str) -> None:
        assert canonical(load(tmp_path)) == canonical(load(tmp_path, f"{TEXT}{change}\n"))

    def test_concurrency_cache_and_the_name_of_the_key_may_change(self, tmp_path: Path) -> None:
        other = TEXT.replace("config: {", "config: {concurrency: 9, cache_directory: c, ")
        environ = {**ENVIRON, "OTHER": "mine-0123456789"}
        assert canonical(load(tmp_path)) == canonical(load(tmp_path, other, environ))

    def test_the_order_of_agents_is_no_change(self, tmp_path: Path) -> None:
        two = "name: x\nagents: [{name: a, command: c}, {name: b, command: d}]\n"
        swapped = "name: x\nagents: [{name: b, command: d}, {name: a, command: c}]\n"
        data = "datasets: [{name: d, source: s}]\n"
        first, second = (
            canonical(load(tmp_path, two + data)),
            canonical(load(tmp_path, swapped + data)),
        )
        assert differences(first, second) == []

    def test_an_agents_own_list_of_provider_tools_counts_where_there_is_one(
        self, tmp_path: Path
    ) -> None:
        def made(more: str) -> dict:
            agents = f"agents: [{{name: a, command: c{more}}}]"
            data = "datasets: [{name: d, source: s}]"
            return canonical(load(tmp_path, f"name: x\n{agents}\n{data}\n"))

        without = made("")
        assert "allow_provider_tools" not in json.dumps(without)
        for more in ("[]", "[mcp]"):
            changed = differences(without, made(f", allow_provider_tools: {more}"))
            assert [line.split(":")[0] for line in changed] == ["agents.a.allow_provider_tools"]

    def test_an_option_that_earlier_versions_did_not_have_is_there_where_it_is_used(
        self, tmp_path: Path
    ) -> None:
        def evaluator(text: str) -> Any:
            data = f"datasets: [{{name: d, source: s, evaluator: {text}}}]\n"
            loaded = load(tmp_path, "name: x\nagents: [{name: a, command: c}]\n" + data)
            return canonical(loaded)["datasets"]["d"]["evaluator"]  # type: ignore[index,call-overload]

        assert evaluator("{type: f1}") == {"type": "f1", "threshold": 0.5}
        assert evaluator("{type: f1, no_answer: true}")["no_answer"] is True
        parts = evaluator("{type: any_of, of: [{type: exact_match}, {type: f1}]}")["of"]
        assert not any("no_answer" in part for part in parts)

    def test_rules_count_by_content(self, tmp_path: Path) -> None:
        text = TEXT.replace("api_key_env: MY_LLM", "provider: scripted, rules: r.yaml")
        missing = canonical(load(tmp_path, text))
        (tmp_path / "r.yaml").write_text("[]")
        first = canonical(load(tmp_path, text))
        (tmp_path / "r.yaml").write_text("[{reply: x}]")
        second = canonical(load(tmp_path, text))
        rules = {entry["proxy"]["rules"] for entry in (missing, first, second)}
        assert len(rules) == 3

    def test_an_agent_has_the_sandbox_that_holds_for_it(self, tmp_path: Path) -> None:
        old = canonical(load(tmp_path))
        new = canonical(load(tmp_path, TEXT + "sandbox: {memory: 1g}\n"))
        assert differences(old, new) == [
            "agents.a.sandbox.memory: 2147483648 -> 1073741824",
        ]


class TestDifferences:
    def test_are_a_line_per_key(self) -> None:
        old = {"agents": {"a": {"command": "x", "setup": None}, "b": {}}, "retries": 1}
        new = {"agents": {"a": {"command": "y", "setup": "s"}, "c": {"k": 1}}, "retries": 1}
        assert differences(old, new) == [
            "agents.a.command: 'x' -> 'y'",
            "agents.a.setup: unset -> 's'",
            "agents.b: removed",
            "agents.c: added",
        ]

    def test_a_key_that_only_a_later_version_knows_is_none_while_unset(self) -> None:
        assert differences({}, {"new": None}) == []

    def test_values_are_cut_and_escaped(self) -> None:
        (line,) = differences({"k\n": "x" * 1000}, {"k\n": "\x1b"})
        assert len(line) < 250
        assert line.isprintable()


def test_what_is_shown_is_yaml(tmp_path: Path) -> None:
    described = describe(load(tmp_path))
    assert yaml.safe_load(render_yaml(described)) == described


def test_a_judges_key_is_masked_wherever_a_configuration_is_kept_or_shown() -> None:
    plain = {"datasets": [{"evaluator": {"of": [{"api_key": "short", "api_key_env": "NAME"}]}}]}
    hidden = hide_secrets(plain, frozenset(), lambda _, masked: masked)
    part = hidden["datasets"][0]["evaluator"]["of"][0]
    assert part == {"api_key": "***", "api_key_env": "NAME"}
