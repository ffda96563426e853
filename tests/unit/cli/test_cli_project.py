"""The template that ``init`` writes."""

import ast
import json
import re
from importlib import resources
from pathlib import Path

import pytest
import yaml

from pacabench.cli.project import project_files
from pacabench.config.load import load_config
from pacabench.proxy.rules import apply_rules, compile_rules


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path, text in project_files("tried"):
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["plain", 'a "b": {c} #d', "ü\u2028", "- x", "null", "\\"])
def test_any_name_stays_what_it_is(name: str) -> None:
    files = dict(project_files(name))
    assert yaml.safe_load(files["pacabench.yaml"])["name"] == name
    assert f"# {name}" in files["README.md"]


def test_it_loads_and_needs_no_key(project: Path) -> None:
    loaded = load_config(project / "pacabench.yaml", environ={})
    assert loaded.config.config.proxy.provider == "scripted"
    assert loaded.config.sandbox.kind == "docker"


def test_every_question_has_a_rule_of_its_own(project: Path) -> None:
    rules = compile_rules(yaml.safe_load((project / "scripted.yaml").read_text()))
    used = []
    for name in ("arithmetic", "facts"):
        for line in (project / "data" / f"{name}.jsonl").read_text().splitlines():
            said = apply_rules(rules, json.loads(line)["question"], "m")
            assert said.rule is not None, line
            used.append(said.rule)
    assert used == rules


def test_the_comment_shows_a_real_provider_that_loads(project: Path) -> None:
    text = (project / "pacabench.yaml").read_text()
    block = re.search(r"(?:^    #   .*\n)+", text, re.MULTILINE)
    assert block is not None
    proxy = yaml.safe_load(block[0].replace("    #   ", ""))
    assert proxy.pop("base_url").startswith("https://")
    assert proxy == {"provider": "openai", "api_key_env": "OPENAI_API_KEY"}


def test_the_agent_uses_the_sdk_and_streams(project: Path) -> None:
    text = (project / "agents" / "assistant.py").read_text()
    ast.parse(text)
    assert "from openai import OpenAI" in text
    assert "stream=True" in text
    assert "openai" in (project / "requirements.txt").read_text()


def test_nothing_in_it_would_act_on_this_repository() -> None:
    root = resources.files("pacabench.cli") / "template"
    assert not [entry.name for entry in root.iterdir() if entry.name.startswith(".")]
