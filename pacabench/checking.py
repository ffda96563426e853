"""Programs that look at answers, each in a sandbox session of its own, which sees no other."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from pacabench.aio import finish
from pacabench.config.evaluators import CommandConfig
from pacabench.errors import EvaluatorError, SandboxError
from pacabench.evaluators.desk import Check, Checked
from pacabench.model import JSON, ExitFacts
from pacabench.sandbox.base import Sandbox, SandboxAgent, Session


@dataclass(frozen=True, slots=True)
class Checks:
    """Starts them in ``sandbox``, with the same limits and protections as agents."""

    sandbox: Sandbox
    programs: Mapping[CommandConfig, SandboxAgent]

    async def run(self, config: CommandConfig, check: Check) -> Checked:
        """See :data:`~pacabench.evaluators.desk.RunCheck`.

        Its session is bound to no attempt, so it reaches no model; it is gone on return.
        """
        try:
            session = await self.sandbox.start(self.programs[config])
        except SandboxError as error:
            raise EvaluatorError(f"the evaluator cannot be started: {error}") from error
        verdict: dict[str, JSON] | None = None
        timed_out = False
        try:
            async with asyncio.timeout(config.timeout_seconds):
                message = {**check.message, **await _placed(session, check)}
                await session.send(orjson.dumps(message) + b"\n", last=True)
                verdict = await _verdict(session, check.code)
        except TimeoutError:
            timed_out = True
        except SandboxError as error:
            raise EvaluatorError(f"the evaluator's sandbox failed: {error}") from error
        finally:
            end = await finish(_closed(session))
        return Checked(verdict, timed_out, end)


async def _closed(session: Session) -> ExitFacts:
    try:
        return await session.close()
    except SandboxError as error:
        raise EvaluatorError(f"the evaluator's sandbox failed: {error}") from error


async def _placed(session: Session, check: Check) -> dict[str, JSON]:
    """Give the program the agent's files; what it is told of them."""
    if check.left is None:
        return {}
    folder = await session.place(check.left.files)
    return {
        "files": [f"{folder}/{name}" for name in check.left.files],
        "files_directory": folder,
        "files_left_out": list(check.left.left_out),
    }


async def _verdict(session: Session, code: str) -> dict[str, JSON] | None:
    """The first object with the code; other lines are what the answer wrote, or a log."""
    while (line := await session.read_line()) is not None:
        if code.encode() not in line:
            continue
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(said, dict) and said.get("code") == code:
            return said
    return None
