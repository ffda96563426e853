"""Services need containers, and the process sandbox says so before anything is started."""

from pathlib import Path

import pytest

from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import SandboxUnavailableError
from pacabench.owner import current_owner
from pacabench.sandbox.base import SandboxAgent, SandboxContext
from pacabench.sandbox.factory import open_sandbox


async def test_an_agent_with_services_is_refused(tmp_path: Path) -> None:
    service = {"name": "redis", "image": "redis:7", "healthcheck": {"tcp": 6379}}
    config = AgentConfig.model_validate({"name": "a", "command": "true", "services": [service]})
    agent = SandboxAgent(
        config=config,
        sandbox=SandboxConfig(kind="process"),
        env={},
        source=tmp_path,
        requirements=None,
        project=tmp_path,
    )
    context = SandboxContext(
        run_id="r",
        run_dir=tmp_path,
        owner=current_owner(),
        cache_dir=tmp_path,
        agents=[agent],
        providers=[],
        default_provider="",
        concurrency=1,
        on_call=lambda _: None,
        listener=lambda _: None,
    )
    with pytest.raises(SandboxUnavailableError, match=r"agent 'a' has services.*--sandbox docker"):
        async with open_sandbox("process", context):
            pass
