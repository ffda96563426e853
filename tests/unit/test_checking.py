"""Programs that look at answers: what their sandbox does wrong is no verdict, and ends no run."""

from pathlib import Path

import pytest

from pacabench.checking import Checks
from pacabench.config.evaluators import CommandConfig
from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import EvaluatorError, SandboxError
from pacabench.evaluators.desk import Check
from pacabench.sandbox.base import SandboxAgent
from pacabench.testing import FakeSandbox
from pacabench.testing.sandbox import ScriptedAgent

CONFIG = CommandConfig(type="command", command="check")


async def test_a_container_that_cannot_be_ended_is_the_evaluators_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise SandboxError("a container does not end")

    program = SandboxAgent(
        config=AgentConfig(name="check", command="check"),
        sandbox=SandboxConfig(),
        env={},
        source=None,
        requirements=None,
        project=tmp_path,
    )
    async with FakeSandbox(ScriptedAgent()) as sandbox:
        checks = Checks(sandbox, {CONFIG: program})
        with monkeypatch.context() as patched:
            patched.setattr("pacabench.testing.sandbox.FakeSession.close", fail)
            with pytest.raises(EvaluatorError, match="does not end"):
                await checks.run(CONFIG, Check({"case_id": "1", "input": "?"}, "code"))
