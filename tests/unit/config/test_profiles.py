"""`sandbox.profile` and `sandbox.runtime`, at the top level and per agent."""

from pathlib import Path

import pytest

from pacabench.config.load import load_config
from pacabench.config.schema import SandboxConfig
from pacabench.errors import ConfigError

MIB = 1024**2


def load(tmp_path: Path, top: str, agent: str = "{}") -> SandboxConfig:
    """What holds for the only agent."""
    text = f"name: x\nsandbox: {top}\nagents: [{{name: a, command: c, sandbox: {agent}}}]\n"
    (tmp_path / "F").write_text(text + "datasets: [{name: d, source: s}]\n")
    config = load_config(tmp_path / "F", environ={}).config
    return config.sandbox_of(config.agents[0])


def test_strict_is_the_default(tmp_path: Path) -> None:
    held = load(tmp_path, "{}")
    assert (held.profile, held.runtime, held.tmp_size) == ("strict", None, 256 * MIB)


def test_an_agent_has_its_own(tmp_path: Path) -> None:
    held = load(tmp_path, "{profile: vm, runtime: runsc}", "{profile: compat}")
    assert (held.profile, held.runtime) == ("compat", None)
    held = load(tmp_path, "{profile: unsafe}", "{profile: vm, runtime: kata}")
    assert (held.profile, held.runtime) == ("vm", "kata")
    assert load(tmp_path, "{profile: vm, runtime: runsc}", "{pids: 9}").runtime == "runsc"


@pytest.mark.parametrize(
    ("top", "agent", "expected"),
    [
        ("{profile: compat}", "{}", 1024),
        ("{profile: unsafe}", "{}", 1024),
        ("{profile: vm, runtime: r}", "{}", 256),
        ("{profile: compat}", "{profile: strict}", 256),
        ("{}", "{profile: compat}", 1024),
        ("{tmp_size: 64m}", "{profile: compat}", 64),
        ("{profile: compat, tmp_size: 64m}", "{}", 64),
        ("{profile: compat, tmp_size: 64m}", "{profile: strict}", 64),
        ("{tmp_size: 64m}", "{profile: compat, tmp_size: 2m}", 2),
    ],
)
def test_a_size_that_nobody_chose_is_the_profiles(
    tmp_path: Path, top: str, agent: str, expected: int
) -> None:
    assert load(tmp_path, top, agent).tmp_size == expected * MIB


@pytest.mark.parametrize(
    ("top", "agent", "said"),
    [
        ("{profile: vm}", "{}", "`profile: vm` needs `runtime`"),
        ("{runtime: runsc}", "{}", "`runtime` goes with `profile: vm` alone"),
        ("{}", "{profile: vm}", "agent 'a': its `sandbox`: `profile: vm` needs `runtime`"),
        ("{}", "{runtime: runsc}", "agent 'a': its `sandbox`: `runtime` goes with"),
        ("{profile: strikt}", "{}", "did you mean 'strict'?"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, top: str, agent: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, top, agent)
    assert said in str(caught.value)
