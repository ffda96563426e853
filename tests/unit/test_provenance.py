"""What the manifest says of the sandbox, over several sessions of a run."""

from typing import Any

import pytest

from pacabench.config.schema import SandboxProfile
from pacabench.provenance import sandbox_record
from pacabench.sandbox.base import AgentProfile, SandboxFacts, Weakness
from pacabench.store import SandboxRecord, WeaknessRecord

NOW: dict[str, Any] = {"kind": "docker", "engine": "new", "image_digests": {"a": "sha256:2"}}


def test_a_promise_that_did_not_hold_stays_said_on_a_better_engine() -> None:
    weak = WeaknessRecord(agents=("a",), promise="an agent has routes")
    earlier = SandboxRecord(kind="docker", engine="old", weaknesses=(weak,))
    record = sandbox_record(SandboxFacts(**NOW), earlier)
    assert (record.engine, record.weaknesses, record.held) == ("new", (weak,), False)


def test_the_same_one_is_said_once_and_another_is_added() -> None:
    weak = WeaknessRecord(agents=("a",), promise="an agent has routes")
    found = [Weakness(["a"], "an agent has routes"), Weakness(["b"], "an agent has routes")]
    record = sandbox_record(
        SandboxFacts(**NOW, weaknesses=found),
        SandboxRecord(kind="docker", weaknesses=(weak,)),
    )
    assert [it.agents for it in record.weaknesses] == [("a",), ("b",)]


def test_profiles_and_probes_are_kept() -> None:
    facts = SandboxFacts(
        **NOW, profiles={"a": AgentProfile("vm", "runsc")}, probes=[{"agents": ["a"], "found": {}}]
    )
    record = sandbox_record(facts, SandboxRecord(kind="docker"))
    assert (record.profiles["a"].profile, record.profiles["a"].runtime) == ("vm", "runsc")
    assert record.probes == ({"agents": ["a"], "found": {}},)
    assert record.held


def test_unsafe_is_not_held() -> None:
    facts = SandboxFacts(**NOW, profiles={"a": AgentProfile("unsafe")})
    assert not sandbox_record(facts, SandboxRecord(kind="docker")).held


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("unsafe", "strict", "unsafe"),
        ("strict", "unsafe", "unsafe"),
        ("compat", "strict", "compat"),
        ("strict", "compat", "compat"),
        ("vm", "strict", "strict"),
        ("strict", "strict", "strict"),
    ],
)
def test_the_loosest_profile_that_an_agent_ever_had_stays_said(
    before: SandboxProfile, now: SandboxProfile, said: str
) -> None:
    """Its earlier results were made so, and count still where the change was accepted."""
    first = SandboxRecord(kind="docker")
    kept = SandboxFacts(**NOW, profiles={"a": AgentProfile(before)})
    earlier = sandbox_record(kept, first)
    record = sandbox_record(SandboxFacts(**NOW, profiles={"a": AgentProfile(now)}), earlier)
    assert record.profiles["a"].profile == said
    assert record.held is (said != "unsafe")


def test_plain_processes_stay_said_too() -> None:
    earlier = SandboxRecord(kind="process")
    record = sandbox_record(SandboxFacts(**NOW, profiles={"a": AgentProfile("strict")}), earlier)
    assert (record.kind, record.profiles) == ("process", {})
