"""``sandbox.egress.allow``: read strictly, kept in one form, refused where nothing holds to it."""

from pathlib import Path
from typing import Any

import pytest

from pacabench.config.canonical import canonical, differences
from pacabench.config.load import LoadedConfig, load_config
from pacabench.errors import ConfigError

TEXT = """\
name: x
sandbox:
  kind: {kind}
  egress:
    allow:
{entries}
agents:
  - {{name: as-all, command: c}}
  - name: own
    command: c
    sandbox:
      egress:
        allow: {own}
datasets: [{{name: d, source: s}}]
"""


def load(
    folder: Path, *entries: str, own: str = "[]", kind: str = "docker", flag: str | None = None
) -> LoadedConfig:
    lines = "\n".join(f"      - {entry}" for entry in entries) or "      []"
    file = folder / "F"
    file.write_text(TEXT.format(kind=kind, entries=lines, own=own), encoding="utf-8")
    return load_config(file, environ={}, flags={"sandbox.kind": flag})


def faults(folder: Path, *entries: str, **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, *entries, **more)
    return str(caught.value).replace(str(folder / "F"), "F").splitlines()


def allowed(loaded: LoadedConfig, number: int) -> tuple[str, ...]:
    config = loaded.config
    return config.sandbox_of(config.agents[number]).allowed_web


def test_without_a_list_nothing_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "F"
    file.write_text("name: x\nagents: [{name: a, command: c}]\ndatasets: [{name: d, source: s}]\n")
    loaded = load_config(file, environ={})
    assert allowed(loaded, 0) == ()
    assert loaded.config.sandbox.egress is None


def test_entries_are_kept_in_the_form_that_they_are_compared_in(tmp_path: Path) -> None:
    entries = ['"*.Wikipedia.ORG.:443"', "b\u00fccher.example:443", '"*.stra\u00dfe.example:80"']
    assert allowed(load(tmp_path, *entries), 0) == (
        "*.wikipedia.org:443",
        "xn--bcher-kva.example:443",
        "*.xn--strae-oqa.example:80",
    )


def test_an_agents_own_list_stands_in_place_of_the_one_for_all(tmp_path: Path) -> None:
    loaded = load(tmp_path, "a.example:443", own='["b.example:80"]')
    assert allowed(loaded, 0) == ("a.example:443",)
    assert allowed(loaded, 1) == ("b.example:80",)
    assert allowed(load(tmp_path, "a.example:443", own="[]"), 1) == ()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("https://a.example", "'https://a.example' is a URL; write HOST:PORT"),
        ("a.example", "'a.example' names no port; write HOST:PORT"),
        ("127.0.0.1:80", "'127.0.0.1:80' holds an address; name the host instead"),
        ("b\u00fc_\u2024.example:443", "names no internationalised host"),
        ("5", "must be text, not 5; put it in quotes"),
    ],
)
def test_a_fault_has_its_line(tmp_path: Path, entry: str, problem: str) -> None:
    (line,) = faults(tmp_path, "good.example:443", entry)
    assert line.startswith("F:7: sandbox.egress.allow[1]: ")
    assert problem in line


def test_an_entry_stands_there_once(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, "a.example:443", "b.example:443", "A.Example.:443")
    expected = "F:5: sandbox.egress.allow: entries 0 and 2 are the same: 'a.example:443'"
    assert line == expected


def test_an_agents_fault_has_its_line(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, "a.example:443", own="['*:443']")
    assert line.startswith("F:13: agents[1].sandbox.egress.allow[0]: '*:443': `*` may only")


def test_a_list_has_an_end(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, *(f"a{number}.example:443" for number in range(257)))
    assert "has 257 entries; 256 are the most" in line


class TestWithPlainProcesses:
    def test_a_list_is_refused_where_it_stands(self, tmp_path: Path) -> None:
        lines = faults(tmp_path, "a.example:443", own='["b.example:80"]', kind="process")
        assert [line.split(" ")[:2] for line in lines] == [
            ["F:5:", "sandbox.egress.allow:"],
            ["F:13:", "agents[1].sandbox.egress.allow:"],
        ]
        assert all("cannot hold agents to a list" in line for line in lines)
        assert all("--sandbox docker" in line for line in lines)

    def test_also_where_a_flag_asks_for_them(self, tmp_path: Path) -> None:
        (line,) = faults(tmp_path, "a.example:443", flag="process")
        assert line.startswith("F:5: sandbox.egress.allow:")

    def test_an_empty_list_is_none(self, tmp_path: Path) -> None:
        assert allowed(load(tmp_path, kind="process"), 0) == ()


def test_a_changed_list_changes_the_run_and_none_changes_nothing(tmp_path: Path) -> None:
    one, other = (canonical(load(tmp_path, entry)) for entry in ("a.example:443", "a.example:80"))
    (line,) = differences(one, other)
    assert "agents.as-all.sandbox.egress.allow" in line
    before = canonical(load(tmp_path, "a.example:443"))
    del before["agents"]["as-all"]["sandbox"]["egress"]
    assert any("egress" in line for line in differences(before, one))
