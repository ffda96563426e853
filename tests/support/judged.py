"""A run of two cases whose judge is a provider on loopback; its agent asks nobody."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from pacabench import session
from pacabench.cassette_choice import CassetteChoice, Mode
from pacabench.events import Event
from pacabench.job import RunReport
from pacabench.run import RunRequest, resume_run, start_run
from pacabench.sandbox.base import Sandbox, SandboxContext
from pacabench.scheduler import Stop
from pacabench.testing import FakeProvider, FakeSandbox, Reply, Request, Tokens, provider_in_thread
from pacabench.testing.sandbox import ScriptedAgent

KEY = "sk-the-key-of-the-judge"
CONFIG = """\
name: judged
config:
  max_retries: {retries}
  proxy: {{provider: scripted, retry_for_seconds: 0}}
agents: [{{name: a, command: python a.py}}]
{more}
datasets:
  - name: d
    source: d.jsonl
    evaluator: {{type: llm_judge, model: {model}, {judge}}}
"""
MARKED = re.compile(r"<ANSWER (\w+)>\n(.*)\n</ANSWER", re.DOTALL)


def text_of(request: Request) -> str:
    """What the user says in a request of whichever format."""
    if "contents" in request:
        return str(request["contents"][-1]["parts"][0]["text"])
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def verdict_on(request: Request) -> Reply:
    """An honest judge's."""
    found = MARKED.search(text_of(request))
    assert found is not None
    verdict = "correct" if found[2] == "right" else "incorrect"
    said = json.dumps({"code": found[1], "reasoning": "r", "verdict": verdict})
    return Reply(text=said, tokens=Tokens(prompt=100, completion=10))


class Judged:
    """One answer is right, one wrong; the judge is played by ``provider``."""

    def __init__(self, folder: Path, provider: FakeProvider) -> None:
        self.folder = folder
        self.cassette = folder / "tape"
        self.provider = provider
        rows = [{"input": answer, "expected": "right"} for answer in ("right", "wrong")]
        (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (folder / "a.py").write_text("")
        self.events: list[Event] = []

    def write(
        self,
        judge: str,
        *,
        model: str = "gpt-4o-mini",
        more: str = "",
        key: bool = True,
        retries: int = 0,
    ) -> Path:
        """The configuration, and the judge's key unless it has none."""
        path = self.folder / "pacabench.yaml"
        path.write_text(CONFIG.format(judge=judge, model=model, more=more, retries=retries))
        (self.folder / ".env").write_text(f"JUDGE_KEY={KEY}\n" if key else "")
        return path

    def openai(self) -> str:
        """The judge's provider, as the configuration has it."""
        return f"base_url: '{self.provider.base_url}', provider: openai, api_key_env: JUDGE_KEY"

    async def run(
        self,
        judge: str = "",
        *,
        run_id: str = "run",
        cassette: tuple[Mode, Path] | None = None,
        more: str = "",
        key: bool = True,
        retries: int = 0,
    ) -> RunReport:
        """A run whose judge has ``judge`` besides."""
        request = RunRequest(
            self.write(self.openai() + judge, more=more, key=key, retries=retries),
            run_id=run_id,
            cassette=None if cassette is None else CassetteChoice(*cassette),
        )
        return await self.start(request)

    async def start(self, request: RunRequest) -> RunReport:
        """A run of any configuration."""
        return await start_run(
            request, accept_changes=False, listener=self.events.append, stop=Stop()
        )

    async def resume(self, judge: str = "", *, more: str = "", run_id: str = "run") -> RunReport:
        """Go on with a run."""
        self.write(self.openai() + judge, more=more)
        return await resume_run(
            self.folder / "runs" / run_id,
            accept_changes=False,
            listener=self.events.append,
            stop=Stop(),
        )


MakeJudged = Callable[[Callable[[Request], Reply]], Judged]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeJudged]:
    """Makes a run whose judge answers as it is told."""

    @asynccontextmanager
    async def open_fake(kind: str, context: SandboxContext) -> AsyncIterator[Sandbox]:
        async with FakeSandbox(ScriptedAgent(), on_call=context.on_call) as sandbox:
            yield sandbox

    monkeypatch.setattr(session, "open_sandbox", open_fake)
    with ExitStack() as stack:
        yield lambda answer: Judged(tmp_path, stack.enter_context(provider_in_thread(answer)))
