"""Runs attacks, the cases after them and their controls, some at a time, and decides each."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pacabench.aio import finish, settle
from pacabench.audit.attack import (
    Attack,
    Control,
    Finding,
    Mutation,
    NoAnswerError,
    Observation,
    Status,
    Verdict,
    decide,
)
from pacabench.audit.bench import Bench, open_bench
from pacabench.audit.ground import open_ground
from pacabench.audit.mutations import altered
from pacabench.config.schema import SandboxProfile
from pacabench.errors import PacabenchError, SandboxError
from pacabench.events import Listener
from pacabench.owner import current_owner
from pacabench.sandbox.docker.engine import open_engine
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image
from pacabench.sandbox.docker.labels import RunLabels
from pacabench.sandbox.docker.sandbox import describe_engine
from pacabench.sandbox.docker.sweep import remove_session, sweep
from pacabench.store.audits import AuditKey

RUN_ID = "audit"
_SHARED_AT_MOST = 8
"""Scripts in one control's container: all of them go over its command line."""

_BY_DESIGN = (
    "by design of profile `unsafe`, where it takes root, a capability, a system call that is not "
    "filtered or a writable root"
)

Judged = Callable[[Verdict], None]


class Lab:
    """Some benches over one ground. Made by :func:`open_lab`."""

    def __init__(
        self,
        info: Mapping[str, Any],
        benches: Sequence[Bench],
        attacks: Sequence[Attack],
        profile: SandboxProfile,
    ) -> None:
        self.engine_text = describe_engine(info)
        """For people."""
        self.key = AuditKey(
            engine_id=str(info.get("ID") or ""),
            engine_version=str(info.get("ServerVersion") or ""),
            profile=profile,
        )
        self._benches: asyncio.Queue[Bench] = asyncio.Queue()
        for bench in benches:
            self._benches.put_nowait(bench)
        self._count = len(benches)
        self._whole = asyncio.Lock()
        self._groups = {attack.id: group for group in shared_controls(attacks) for attack in group}
        self._controls: dict[str, asyncio.Task[dict[str, Finding | str]]] = {}

    async def verdict(self, attack: Attack, *, weaken: Mutation | None = None) -> Verdict:
        """Make ``attack``, the case after it, and its control.

        ``weaken`` takes a protection away from the attack itself: to show that a broken sandbox is
        reported as one.

        Raises:
            EngineUnreachableError, SandboxUnavailableError: nothing can be run any more.
        """
        began = time.monotonic()
        async with self._some(attack) as bench:
            alter = altered(weaken, bench) if weaken is not None else None
            struck = await _judged(attack, bench.strike(attack, alter))
            upset = await bench.next_case()
        control = (await self._control(attack))[attack.id]
        status, why = decide(attack, struck, upset, control)
        if status is Status.BROKEN and self.key.profile == "unsafe":
            why = f"{_BY_DESIGN}; else: {why}"
        return Verdict(
            attack=attack,
            status=status,
            why=why,
            evidence=struck.evidence if isinstance(struck, Finding) else {},
            control=control.evidence if isinstance(control, Finding) else {},
            duration_s=time.monotonic() - began,
        )

    async def run(
        self,
        attacks: Sequence[Attack],
        *,
        weaken: Mutation | None = None,
        on_verdict: Judged = lambda _: None,
    ) -> list[Verdict]:
        """All of ``attacks``, as many at a time as there are benches; in their order.

        Those that load the machine come last and alone. Cancellation leaves nothing under way.
        """
        verdicts: dict[str, Verdict] = {}

        async def one(attack: Attack) -> None:
            verdicts[attack.id] = await self.verdict(attack, weaken=weaken)
            on_verdict(verdicts[attack.id])

        try:
            async with asyncio.TaskGroup() as tasks:
                for attack in attacks:
                    if not attack.exclusive:
                        tasks.create_task(self._control(attack))  # first: then rows come steadily
                for attack in attacks:
                    if not attack.exclusive:
                        tasks.create_task(one(attack))
            for attack in attacks:
                if attack.exclusive:
                    await one(attack)
        except* PacabenchError as group:
            raise group.exceptions[0] from None
        return [verdicts[attack.id] for attack in attacks]

    async def close(self) -> None:
        """End controls that nobody waits for any more."""
        await settle(set(self._controls.values()))

    async def _control(self, attack: Attack) -> dict[str, Finding | str]:
        """Findings of the control of ``attack``, and of those that share its container."""
        group = self._groups[attack.id]
        leader = group[0].id
        if leader not in self._controls:
            self._controls[leader] = asyncio.create_task(self._run_controls(group))
        return await asyncio.shield(self._controls[leader])

    async def _run_controls(self, group: Sequence[Attack]) -> dict[str, Finding | str]:
        async with self._some(group[0]) as bench:
            try:
                seen = await observe_controls(bench, group)
            except SandboxError as error:
                return {attack.id: str(error) for attack in group}
        return {
            attack.id: _finding(attack, observed)
            for attack, observed in zip(group, seen, strict=True)
        }

    @asynccontextmanager
    async def _some(self, attack: Attack) -> AsyncIterator[Bench]:
        """A bench that is free; for an attack that needs the machine for itself, all of them."""
        async with AsyncExitStack() as stack:
            if attack.exclusive:
                await stack.enter_async_context(self._whole)
            for _ in range(self._count if attack.exclusive else 1):
                bench = await self._benches.get()
                stack.callback(self._benches.put_nowait, bench)
            yield bench


async def observe_controls(bench: Bench, group: Sequence[Attack]) -> Sequence[Observation]:
    """Run the controls of ``group``, which share a container.

    Once more where that container could not be had: an engine that fails to start one says
    nothing of the protection. It cannot make an attack held that was not.

    Raises:
        SandboxError: it could not be had twice.
    """
    control = group[0].control
    if control.drive is not None:
        return [await control.drive(bench, group[0])]
    assert control.mutation is not None
    alter = altered(control.mutation, bench)
    try:
        return await bench.share(group, alter)
    except SandboxError:
        return await bench.share(group, alter)


async def _judged(attack: Attack, run: Awaitable[Observation]) -> Finding | str:
    try:
        seen = await run
    except SandboxError as error:
        return str(error)
    return _finding(attack, seen)


def _finding(attack: Attack, seen: Observation) -> Finding | str:
    try:
        return attack.judge(seen)
    except NoAnswerError as error:
        return str(error)


def shared_controls(attacks: Sequence[Attack]) -> list[list[Attack]]:
    """Which attacks have their controls in one container: those that need the same change."""
    groups: list[list[Attack]] = []
    open_groups: dict[str, list[Attack]] = {}
    for attack in attacks:
        name = _shared_name(attack, attack.control)
        group = open_groups.get(name) if name is not None else None
        if group is None or len(group) == _SHARED_AT_MOST:
            group = []
            groups.append(group)
            if name is not None:
                open_groups[name] = group
        group.append(attack)
    return groups


def _shared_name(attack: Attack, control: Control) -> str | None:
    if control.alone or control.mutation is None or attack.drive is not None or attack.exclusive:
        return None
    return control.mutation.name


@asynccontextmanager
async def open_lab(
    attacks: Sequence[Attack],
    *,
    cache_dir: Path,
    listener: Listener,
    benches: int = 2,
    profile: SandboxProfile = "strict",
) -> AsyncIterator[Lab]:
    """A lab for ``attacks`` on the user's engine. At the end all that it made is gone.

    What dead audits and runs left is removed first.

    Raises:
        EngineUnreachableError: no engine answers.
        ImageError: the sidecar's image is missing and cannot be made.
        SandboxError, SandboxUnavailableError: the engine cannot run it.
    """
    async with open_engine() as engine:
        await sweep(engine, listener=listener)
        image = await ensure_sidecar_image(engine, cache_dir=cache_dir, listener=listener)
        with tempfile.TemporaryDirectory(prefix="pacabench-audit-") as folder:
            labels = RunLabels(RUN_ID, folder, current_owner())
            try:
                async with AsyncExitStack() as stack:
                    ground = await stack.enter_async_context(open_ground(engine, labels, image))
                    made = []
                    for number in range(benches):
                        run_dir = Path(folder) / str(number)
                        run_dir.mkdir()
                        bench = open_bench(
                            ground,
                            profile,
                            run_dir=run_dir,
                            cache_dir=cache_dir,
                            listener=listener,
                        )
                        made.append(await stack.enter_async_context(bench))
                    info = await engine.call(lambda client: client.info(), repeatable=True)
                    lab = Lab(info, made, attacks, profile)
                    stack.push_async_callback(lab.close)
                    yield lab
            finally:
                await finish(remove_session(engine, labels))
