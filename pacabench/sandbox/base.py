"""What a sandbox promises, whatever it is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pacabench.config.schema import AgentConfig, SandboxConfig, SandboxProfile
from pacabench.egress import EgressRecord
from pacabench.events import Listener
from pacabench.left_files import LeftFiles, Wanted
from pacabench.model import CallRecord, ExitFacts
from pacabench.owner import Owner
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.excerpt import CallText
from pacabench.proxy.pacing import State
from pacabench.proxy.patience import Patience
from pacabench.proxy.tapes import Tapes
from pacabench.proxy.terms import FREE, Asking, Terms

CallSink = Callable[[CallRecord], None]
"""Gets every LLM call when it ends. Called in the event loop's thread; must not block."""
EgressSink = Callable[[EgressRecord], None]
"""Gets every way out to the web when it ends, allowed or not. As :data:`CallSink`."""

TextSink = Callable[[CallText], None]
WaitSink = Callable[[str, bool, float], None]
"""Gets an attempt's id, whether it waits for its provider now, and for how many milliseconds it did
so far. The last one of an attempt comes before ``unbind`` returns."""
HealthSink = Callable[[str, State, str], None]
"""Gets a provider's name, how it does, and why: when it goes down, and when it comes back."""

STDERR_KEPT_BYTES = 64 * 1024
STDOUT_LIMIT_BYTES = 64 * 1024**2
"""Of one session. Past it output is still drained, and dropped."""


@dataclass(frozen=True, slots=True)
class SandboxAgent:
    """An agent with all that was merged and resolved for it."""

    config: AgentConfig
    sandbox: SandboxConfig
    env: Mapping[str, str]
    """The agent's own variables, keys of providers already taken out."""
    source: Path | None
    """Absolute; None when the user's image holds the code."""
    requirements: Path | None
    project: Path
    """Absolute directory of pacabench.yaml: relative paths (`build.context`) start here."""
    ignore: Sequence[str] = ()
    """Patterns in .gitignore's language, relative to ``source``, that stay out of the image: data
    sets, runs, cache, .env, .git, and those of .pacabenchignore."""
    takes_files: bool = False
    """Some of its cases come with files: ``Session.place`` is called before each one is sent."""
    files_folder: str = "files"
    """Where it finds them, below its work directory in a container."""
    leaves_files: bool = False
    """What it leaves in its work directory is looked at: ``Session.take_left`` may be called."""
    service_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the service's name, its variables; keys of providers already taken out."""

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.config.name


@dataclass(frozen=True, slots=True)
class SandboxContext:
    """Everything a sandbox is opened with."""

    run_id: str
    run_dir: Path
    owner: Owner
    cache_dir: Path
    agents: Sequence[SandboxAgent]
    providers: Sequence[ProviderSpec]
    """Empty when the proxy is off: then agents reach nothing at all."""
    default_provider: str
    concurrency: int
    """Sessions at a time: of cases that run, and of workers that wait for one."""
    on_call: CallSink
    listener: Listener
    allow_weak: bool = False
    """Go on where the engine does not keep a promise, and say so everywhere."""
    on_text: TextSink = lambda _: None
    """Gets what is to be counted of a call, before ``on_call`` gets the call."""
    on_wait: WaitSink = lambda *_: None
    on_health: HealthSink = lambda *_: None
    live_waits: bool = False
    """Tell of waits as they begin and end, and not of their sum alone."""
    patience: Patience = field(default_factory=Patience)
    """Of the proxy with providers."""
    on_egress: EgressSink = lambda _: None
    tapes: Tapes = field(default_factory=Tapes)
    """What is recorded of calls, and what is answered out of a recording."""
    on_ask: Asking | None = None
    """Decides about calls of agents whose terms say that they are budgeted."""
    terms: Mapping[str, Terms] = field(default_factory=dict)
    """By the agent's name, what its calls are held to; of one that is not there: to nothing."""

    def terms_of(self, agent: SandboxAgent) -> Terms:
        """What the calls of ``agent`` are held to."""
        return self.terms.get(agent.name, FREE)

    @property
    def web(self) -> bool:
        """Some agent may reach some of the web."""
        return any(agent.sandbox.allowed_web for agent in self.agents)


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """How tightly an agent was kept."""

    profile: SandboxProfile
    runtime: str | None = None
    """The OCI runtime; None: the engine's default."""


@dataclass(frozen=True, slots=True)
class Weakness:
    """A promise that does not hold, and whom it concerns; the user let the run go on."""

    agents: Sequence[str]
    promise: str
    """What an agent can do that it must not."""


@dataclass(frozen=True, slots=True)
class SandboxFacts:
    """What the manifest keeps of a sandbox."""

    kind: str
    engine: str | None
    """Version, OS and kernel of the engine; None without one."""
    image_digests: Mapping[str, str]
    """Agent name (and ``sidecar``, and ``agent/service``) to image id."""
    profiles: Mapping[str, AgentProfile] = field(default_factory=dict)
    """Agent name to its profile; empty where agents are not contained."""
    probes: Sequence[Mapping[str, Any]] = ()
    """What the effect probes read back, one per distinct profile and limits."""
    weaknesses: Sequence[Weakness] = ()
    engine_id: str | None = None
    """The engine's own, made at its first start."""
    engine_version: str | None = None


class Session(Protocol):
    """One started agent: a container or a process, blocked on its stdin."""

    async def bind(self, attempt_id: str) -> None:
        """Count LLM calls for ``attempt_id`` from now on. Before it all calls are refused.

        Raises:
            SandboxError: the lane or the sidecar is gone.
        """
        ...

    async def unbind(self) -> None:
        """Refuse further calls, and ways out. On return all of the attempt's went to their sinks.

        Never raises for a dead lane: what it had recorded is delivered.

        Raises:
            SandboxError: a service of the agent ended under the attempt.
        """
        ...

    @property
    def failure(self) -> str | None:
        """What of the sandbox failed under the attempt, once it was unbound; None: nothing did.

        Then neither an answer nor the lack of one says anything of the agent.
        """
        ...

    async def place(self, files: Mapping[str, bytes]) -> str:
        """Put ``files`` (by relative name) where the agent can read them; returns the directory.

        Once, before the first ``send``, of a session whose agent ``takes_files``; also with none.

        Raises:
            SandboxError: they cannot be written.
        """
        ...

    async def send(self, line: bytes, *, last: bool) -> None:
        """Write ``line`` to the agent's stdin, and close it after the ``last`` one.

        Returns when the line was handed over; an agent that does not read cannot block it beyond
        the caller's timeout. A broken pipe is not raised: the agent's end shows in ``read_line``.
        """
        ...

    async def read_line(self) -> bytes | None:
        """The next stdout line without its newline, or None at the end of the output.

        A line over ``protocol.MAX_LINE_BYTES`` is cut there. Cancel-safe: nothing is lost.

        Raises:
            SandboxError: the stream broke for another reason than the agent's end.
        """
        ...

    async def take_left(self, wanted: Wanted) -> LeftFiles:
        """End an agent that ``leaves_files`` as :meth:`close` does; what it left of what is wanted.

        Nothing of the agent runs any more when its files are read. Shield it, as :meth:`close`.

        Raises:
            SandboxError: they cannot be taken.
        """
        ...

    async def close(self) -> ExitFacts:
        """Kill what runs, wait for its end, remove every trace. Idempotent.

        The container is gone when this returns. Shield it (``aio.finish``): it must not be cut.
        """
        ...


class Sandbox(Protocol):
    """Makes sessions. An async context manager made by ``open_sandbox``."""

    @property
    def facts(self) -> SandboxFacts:
        """For the manifest."""
        ...

    async def start(self, agent: SandboxAgent) -> Session:
        """Start ``agent``, isolated, with a fresh virtual key in its environment.

        Cancellation leaves nothing behind.

        Raises:
            SandboxError: this start failed; another may work.
            SandboxUnavailableError: no start can work; the run must stop.
        """
        ...

    async def run_teardown(self, agent: SandboxAgent) -> None:
        """Run the agent's ``teardown`` once in a sandbox of its own. Failure is a notice."""
        ...
