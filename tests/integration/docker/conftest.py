"""A real engine, real images, and an agent that does whatever a case tells it to."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.config.services import ServiceConfig
from pacabench.events import Event, Notice
from pacabench.model import CallRecord
from pacabench.owner import current_owner
from pacabench.proxy.control import ProviderSpec
from pacabench.sandbox.base import EgressSink, Sandbox, SandboxAgent, SandboxContext, Session
from pacabench.sandbox.docker.engine import Engine, open_engine
from pacabench.sandbox.docker.labels import RUN, RunLabels
from pacabench.sandbox.docker.sandbox import open_docker_sandbox

SCRIPTED = ProviderSpec("scripted", "scripted")

OBEDIENT = '''
"""Runs the Python code in each case. One source for all tests, so that there is one image."""

import json, os, socket, subprocess, sys, time
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def say(output):
    print(json.dumps({"output": output}), flush=True)


def ask_model(text, key=None, timeout=30):
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    headers = {
        "authorization": "Bearer " + (key or os.environ["OPENAI_API_KEY"]),
        "content-type": "application/json",
    }
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    try:
        with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=timeout) as reply:
            return json.load(reply)["choices"][0]["message"]["content"]
    except HTTPError as error:
        return error.code


for line in sys.stdin:
    exec(json.loads(line)["input"])
'''


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with open_engine(workers=4) as opened:
        yield opened


@dataclass
class Rig:
    """Opens Docker sandboxes for one test, and looks at what they do."""

    folder: Path
    cache_dir: Path
    calls: list[CallRecord] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    on_egress: EgressSink = lambda _: None
    run_id: str = field(default_factory=lambda: f"test-{time.monotonic_ns():x}")

    def agent(
        self,
        command: str = "python3 -u agent.py",
        *,
        name: str = "obedient",
        env: Mapping[str, str] | None = None,
        teardown: str | None = None,
        services: Sequence[Mapping[str, Any]] = (),
        **limits: Any,
    ) -> SandboxAgent:
        """The agent that obeys; ``limits`` are fields of its ``sandbox:``."""
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        (source / "agent.py").write_text(OBEDIENT)
        return SandboxAgent(
            config=AgentConfig(
                name=name,
                command=command,
                teardown=teardown,
                services=[ServiceConfig(**service) for service in services],
            ),
            sandbox=SandboxConfig(**limits),
            env=env or {},
            source=source,
            requirements=None,
            project=self.folder,
            service_env={service["name"]: service.get("env", {}) for service in services},
        )

    def context(
        self,
        *agents: SandboxAgent,
        concurrency: int = 2,
        providers: Sequence[ProviderSpec] = (SCRIPTED,),
        allow_weak: bool = False,
    ) -> SandboxContext:
        run_dir = self.folder / "run"
        run_dir.mkdir(exist_ok=True)
        return SandboxContext(
            run_id=self.run_id,
            run_dir=run_dir,
            owner=current_owner(),
            cache_dir=self.cache_dir,
            agents=agents,
            providers=providers,
            default_provider=providers[0].name if providers else "",
            concurrency=concurrency,
            on_call=self.calls.append,
            listener=self.events.append,
            on_egress=self.on_egress,
            allow_weak=allow_weak,
        )

    @asynccontextmanager
    async def open(
        self,
        *agents: SandboxAgent,
        concurrency: int = 2,
        providers: Sequence[ProviderSpec] = (SCRIPTED,),
        allow_weak: bool = False,
    ) -> AsyncIterator[Sandbox]:
        context = self.context(
            *agents, concurrency=concurrency, providers=providers, allow_weak=allow_weak
        )
        async with open_docker_sandbox(context) as sandbox:
            yield sandbox

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    def calls_of(self, attempt_id: str) -> list[CallRecord]:
        return [call for call in self.calls if call.attempt_id == attempt_id]


def case(code: str) -> bytes:
    """A case that makes the agent run ``code``."""
    return json.dumps({"input": code}).encode() + b"\n"


async def tell(session: Session, code: str) -> Any:
    """Make the agent run ``code``; what it says."""
    await session.send(case(code), last=False)
    line = await session.read_line()
    assert line is not None, (await session.close()).stderr_tail
    return json.loads(line)["output"]


async def left_over(engine: Engine, run_id: str) -> list[str]:
    """Everything on the engine that belongs to a run."""
    wanted = {"label": [f"{RUN}={run_id}"]}

    def find(client: Any) -> list[str]:
        return [
            *(item["Names"][0] for item in client.containers(all=True, filters=wanted)),
            *(item["Name"] for item in client.volumes(filters=wanted).get("Volumes") or ()),
            *(item["Name"] for item in client.networks(filters=wanted)),
        ]

    return await engine.call(find)


async def containers_of(engine: Engine, run_id: str, role: str) -> list[str]:
    """Ids of a run's running containers with this role."""
    wanted = {"label": [f"{RUN}={run_id}", f"pacabench.role={role}"]}
    found = await engine.call(lambda client: client.containers(filters=wanted))
    return [item["Id"] for item in found]


@pytest.fixture
async def rig(tmp_path: Path, cache_dir: Path, engine: Engine) -> AsyncIterator[Rig]:
    """A rig; the test fails when anything of its runs is left on the engine."""
    made = Rig(tmp_path, cache_dir)
    yield made
    assert await left_over(engine, made.run_id) == []


@pytest.fixture
def labels(tmp_path: Path) -> RunLabels:
    """Labels for what a test makes by itself."""
    return RunLabels("test-labels", str(tmp_path), current_owner())


async def eventually(check: Callable[[], Awaitable[bool]], *, within_s: float = 20.0) -> None:
    """Wait until ``check`` holds."""
    deadline = time.monotonic() + within_s
    while True:
        if await check():
            return
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.05)
