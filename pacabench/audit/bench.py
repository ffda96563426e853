"""One real sandbox to attack: a sidecar, a lane for the attacker, and a neighbour in another."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacabench.agent import Countdown, ask
from pacabench.aio import finish
from pacabench.audit.attack import Attack, Body, Observation
from pacabench.audit.ground import WEB_ALLOWED, Ground, open_stand, stand_body
from pacabench.audit.scripts import attack_command, stand_command
from pacabench.config.egress import EgressConfig
from pacabench.config.schema import AgentConfig, SandboxConfig, SandboxProfile
from pacabench.errors import SandboxError
from pacabench.events import Listener
from pacabench.model import JSON, CallRecord, Case, CaseKey, new_attempt_id
from pacabench.proxy.control import LANE_PORT, WEB_PORT, ProviderSpec
from pacabench.proxy.terms import FREE, Terms
from pacabench.sandbox.base import SandboxAgent, SandboxContext
from pacabench.sandbox.docker.images.agent import AgentImage
from pacabench.sandbox.docker.labels import ROLE, Role
from pacabench.sandbox.docker.lanes import Lane
from pacabench.sandbox.docker.profile import WORK_DIR, AgentBox, profile_of
from pacabench.sandbox.docker.runtime import RuntimePlan
from pacabench.sandbox.docker.sandbox import DockerSandbox
from pacabench.sandbox.docker.session import DockerSession
from pacabench.sandbox.docker.sidecar_network import SidecarNetwork
from pacabench.sandbox.docker.supervisor import supervise
from pacabench.sandbox.environment import agent_variables

LIMITS = SandboxConfig(memory=256 * 1024**2, cpus=1.0, pids=64, tmp_size=16 * 1024**2)
"""Of every attacker. Small, so that a broken limit is noticed early and does little harm."""
DATASET = "audit"
LISTENING = [f"0100007F:{port:04X}" for port in (LANE_PORT, WEB_PORT)]
"""All that listens in a lane, as the kernel writes it."""
_NEXT_WITHIN_S = 20.0
_INIT_AND_SELF = 2
_SCRIPTED = ProviderSpec("scripted", "scripted")


@dataclass(eq=False, slots=True)
class Ledger:
    """LLM calls of one bench, as they are metered."""

    calls: list[CallRecord] = field(default_factory=list)

    def of(self, attempt_id: str) -> list[CallRecord]:
        """Those of one attempt."""
        return [call for call in self.calls if call.attempt_id == attempt_id]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another agent at work."""

    holder: str
    """Container id of its lane's holder."""
    key: str
    """Its virtual key, as if it had leaked."""
    secret: str
    """What its ports answer."""


class Bench:
    """Runs attacks one at a time, always in the same lane. Made by :func:`open_bench`."""

    def __init__(
        self,
        ground: Ground,
        sandbox: DockerSandbox,
        ledger: Ledger,
        providers: Sequence[ProviderSpec],
        profile: SandboxProfile,
    ) -> None:
        self.ground = ground
        self.profile = profile
        """Of every attacker, and of the cases after them."""
        self.ledger = ledger
        self.providers = providers
        self.runtime_volume = ""
        """Name of the volume that sidecar and lane holders share."""
        self.sidecar = ""
        """Container id."""
        self.sidecar_address = ""
        """In the ground's network."""
        self.sidecar_name = ""
        self.neighbour = Neighbour("", "", "")
        self.attempts: list[str] = []
        """Ids of all attempts so far, the latest last."""
        self._sandbox = sandbox
        self._last_key: str | None = None

    async def start(
        self,
        scripts: Mapping[str, str],
        *,
        alter: Callable[[Body], Body] | None = None,
        limits: SandboxConfig = LIMITS,
        env: Mapping[str, str] | None = None,
        image: AgentImage | None = None,
        terms: Terms = FREE,
    ) -> DockerSession:
        """Start the attacks ``scripts`` (id to path) as an agent, with the profile under attack.

        ``alter`` takes a protection away; ``image`` in place of the sidecar's; ``terms`` are what
        its calls are held to. The caller binds it, and closes it.

        Raises:
            SandboxError: the engine does not start it.
        """
        limits = limits.model_copy(update={"profile": self.profile})

        def make_box(lane: Lane, key: str | None) -> AgentBox:
            origin = f"http://127.0.0.1:{LANE_PORT}"
            return AgentBox(
                image=image.id if image is not None else self.ground.image,
                command=attack_command(scripts),
                env=agent_variables(
                    env or {}, origin=origin, key=key or "", providers=self.providers
                ),
                work_dir=WORK_DIR,
                tmpfs=[WORK_DIR, *(image.volumes if image is not None else ())],
                limits=limits,
                holder=lane.holder,
                uid=lane.uid,
            )

        doing = f"starting {', '.join(scripts)}"
        return await self._sandbox.open(
            make_box,
            Role.AUDIT,
            doing=doing,
            rooted=not profile_of(limits).own_user,
            allow=WEB_ALLOWED,
            terms=terms,
            alter=alter,
        )

    def case(self, attack_id: str, given: Mapping[str, JSON]) -> tuple[Case, CaseKey]:
        """The case that makes a started script run."""
        nonce = secrets.token_hex(8)
        whole = {**self.given, "nonce": nonce, "attack": attack_id, **given}
        case = Case(
            dataset=DATASET, case_id=nonce, input=whole, expected=self.ground.expected_canary
        )
        return case, CaseKey(agent="attacker", dataset=DATASET, case_id=nonce)

    @property
    def given(self) -> dict[str, JSON]:
        """Where everything is that may be attacked: the ``given`` of every script."""
        return {
            **self.ground.given,
            "lane_port": LANE_PORT,
            "web_port": WEB_PORT,
            "sidecar": self.sidecar_address,
            "sidecar_name": self.sidecar_name,
            "neighbour_key": self.neighbour.key,
        }

    async def strike(
        self, attack: Attack, alter: Callable[[Body], Body] | None = None
    ) -> Observation:
        """Make ``attack`` once, in a container of its own, as a run makes an attempt.

        Raises:
            SandboxError: the sandbox failed under it.
        """
        if attack.drive is not None:
            return await attack.drive(self, attack, alter)
        given = {**attack.given, **(attack.control.given if alter is not None else {})}
        return await self.attempt(
            {attack.id: attack.script},
            given={"attack": attack.id, **given},
            timeout_s=attack.timeout_s,
            alter=alter,
        )

    async def attempt(
        self,
        scripts: Mapping[str, str],
        *,
        given: Mapping[str, JSON],
        timeout_s: float,
        alter: Callable[[Body], Body] | None = None,
        limits: SandboxConfig = LIMITS,
        terms: Terms = FREE,
    ) -> Observation:
        """Start, bind, ask, close: one attempt at one case, and what was seen of it."""
        case, key = self.case(next(iter(scripts)), given)
        attempt_id = self.new_attempt(key)
        session = await self.start(scripts, alter=alter, limits=limits, terms=terms)
        try:
            await session.bind(attempt_id)
            reply = await ask(session, case, key, countdown=Countdown(timeout_s), last=True)
        finally:
            began = time.monotonic()
            ended = await finish(session.close())
        self._last_key = session.key
        close_s = time.monotonic() - began
        return Observation(reply, ended, self.ledger.of(attempt_id), close_s)

    def new_attempt(self, key: CaseKey) -> str:
        """A fresh attempt id, remembered."""
        attempt_id = new_attempt_id(key)
        self.attempts.append(attempt_id)
        return attempt_id

    async def share(
        self, attacks: Sequence[Attack], alter: Callable[[Body], Body]
    ) -> list[Observation]:
        """Controls that need the same change, one after the other in one container."""
        scripts = {attack.id: attack.script for attack in attacks}
        if len(attacks) == 1:
            return [await self.strike(attacks[0], alter)]
        session = await self.start(scripts, alter=alter)
        seen = []
        try:
            for attack in attacks:
                case, key = self.case(attack.id, {**attack.given, **attack.control.given})
                attempt_id = self.new_attempt(key)
                await session.bind(attempt_id)
                reply = await ask(
                    session, case, key, countdown=Countdown(attack.timeout_s), last=False
                )
                await session.unbind()
                seen.append(Observation(reply, None, self.ledger.of(attempt_id), 0.0))
        finally:
            await finish(session.close())
        return seen

    async def next_case(self) -> str | None:
        """Run a harmless case in the lane that was just attacked; what was wrong, None: nothing."""
        word = f"next {secrets.token_hex(8)}"
        scripts = {"next": "next_case.py"}
        earlier = self._last_key
        try:
            seen = await self.attempt(scripts, given={"ask": word}, timeout_s=_NEXT_WITHIN_S)
        except SandboxError as error:
            return str(error)
        return upset(seen, word, self.attempts[-1], earlier_key=earlier)


def upset(seen: Observation, word: str, attempt_id: str, *, earlier_key: str | None) -> str | None:
    """What was wrong with a harmless case that asked for ``word``."""
    answer = seen.reply.answer
    facts = answer.output.get("evidence") if answer and isinstance(answer.output, dict) else None
    if not isinstance(facts, dict):
        tail = seen.exit.stderr_tail[-300:] if seen.exit is not None else ""
        return f"it did not answer ({tail.strip()})"
    metered = [(call.attempt_id, call.end) for call in seen.calls]
    checks = {
        "the model did not answer it": word in str(facts.get("said")),
        "its call was not metered": metered == [(attempt_id, "complete")],
        "it got the key of the attack": facts.get("key") != earlier_key,
        "something else listens in its lane": facts.get("listening") == LISTENING,
        "an abstract socket was left in its lane": facts.get("abstract") == [],
        "processes were left": facts.get("processes") == _INIT_AND_SELF,
        "files were left": facts.get("files") == [],
        "its network changed": facts.get("interfaces") == ["lo"],
    }
    return "; ".join(text for text, good in checks.items() if not good) or None


@asynccontextmanager
async def open_bench(
    ground: Ground,
    profile: SandboxProfile,
    *,
    run_dir: Path,
    cache_dir: Path,
    listener: Listener,
) -> AsyncIterator[Bench]:
    """A real sandbox with an agent at work in it. At the end all of it is gone.

    Raises:
        SandboxError, SandboxUnavailableError: it cannot be made.
    """
    ledger = Ledger()
    wan = ProviderSpec("openai", "openai", base_url=ground.provider_url, api_key=ground.key_canary)
    providers = [_SCRIPTED, wan]
    context = SandboxContext(
        run_id=ground.labels.run_id,
        run_dir=run_dir,
        owner=ground.labels.owner,
        cache_dir=cache_dir,
        agents=[_attacker(run_dir)],
        providers=providers,
        default_provider="scripted",
        concurrency=2,
        on_call=ledger.calls.append,
        listener=listener,
    )
    plan = RuntimePlan(
        engine=ground.engine,
        context=context,
        labels=ground.labels,
        image=ground.image,
        network=SidecarNetwork(
            "bridge", providers, existing=ground.network, hosts=ground.web_hosts
        ),
        most_lanes=2,
    )
    info = await ground.engine.call(lambda client: client.info(), repeatable=True)
    async with supervise(plan) as supervisor:
        sandbox = DockerSandbox(plan, supervisor, {}, info)
        bench = Bench(ground, sandbox, ledger, providers, profile)
        async with _neighbour(bench), _web(bench):
            yield bench


def _attacker(project: Path) -> SandboxAgent:
    """Of whom the sandbox only has to know that he may reach some of the web."""
    return SandboxAgent(
        config=AgentConfig(name="attacker", command="true"),
        sandbox=LIMITS.model_copy(update={"egress": EgressConfig(allow=WEB_ALLOWED)}),
        env={},
        source=None,
        requirements=None,
        project=project,
    )


@asynccontextmanager
async def _web(bench: Bench) -> AsyncIterator[None]:
    """What the allowed host answers: a web server in the sidecar's own network namespace."""
    ground = bench.ground
    body = stand_body(ground.image, ground.labels, stand_command("web", ground.canary))
    body["HostConfig"] |= {
        "NetworkMode": f"container:{bench.sidecar}",
        "CapAdd": ["NET_ADMIN", "NET_BIND_SERVICE"],
    }
    async with open_stand(ground.engine, body):
        yield


@asynccontextmanager
async def _neighbour(bench: Bench) -> AsyncIterator[None]:
    secret = secrets.token_hex(16)
    session = await bench.start({"neighbour": "neighbour.py"})
    try:
        case, key = bench.case("neighbour", {"secret": secret})
        await session.bind(bench.new_attempt(key))
        reply = await ask(session, case, key, countdown=Countdown(_NEXT_WITHIN_S), last=False)
        if reply.answer is None or session.key is None:
            words = (await session.close()).stderr_tail[-500:].strip()
            raise SandboxError(f"the audit's neighbour did not come up: {words}")
        bench.neighbour = Neighbour(session.holder, session.key, secret)
        await _locate(bench)
        yield
    finally:
        await finish(session.close())


async def _locate(bench: Bench) -> None:
    """Find the sidecar and its volume, through the neighbour's lane holder."""
    engine, holder = bench.ground.engine, bench.neighbour.holder

    def look(client: Any) -> tuple[str, dict[str, Any]]:
        volume = str(client.inspect_container(holder)["Mounts"][0]["Name"])
        wanted = {"volume": volume, "label": [f"{ROLE}={Role.SIDECAR}"]}
        return volume, client.inspect_container(client.containers(filters=wanted)[0]["Id"])

    bench.runtime_volume, sidecar = await engine.call(look, repeatable=True)
    networks = sidecar["NetworkSettings"]["Networks"]
    bench.sidecar = str(sidecar["Id"])
    bench.sidecar_name = str(sidecar["Name"]).removeprefix("/")
    bench.sidecar_address = str(next(iter(networks.values()))["IPAddress"])
