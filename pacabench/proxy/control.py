"""The harness and the sidecar talk in JSON lines over the sidecar's stdin and stdout.

Each message is one of the dataclasses below, its class name as ``"type"``. Both ends are ours and
of the same version; a line that does not decode is an error and not ignored.

    harness -> sidecar   Configure (first line), Bind, Unbind, Ping, Decision (to a Question),
                         Answer (to a Find), Shutdown
    sidecar -> harness   Ready, LaneUp, LaneDown, Done (echoes ``seq``), Question, Call, Egress,
                         Waited, Health, Notice, Taped, LeftOut, Find

Every ``Call`` and ``Egress`` of an attempt, and the last ``Waited``, is sent before the ``Done``
that answers its ``Unbind``. A call's ``Taped`` or ``LeftOut`` comes before its ``Call``.
End of file on stdin means that the harness died: the sidecar takes no new calls, lets those
under way finish (``ORPHAN_GRACE_S``), and exits. What was not delivered is in the spool.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, get_args

import orjson

from pacabench.egress import EgressRecord
from pacabench.model import CallRecord, FailedTry, Usage
from pacabench.proxy import lane as lane_holder
from pacabench.proxy.excerpt import CallText
from pacabench.proxy.exchange import Asked, Keeping
from pacabench.proxy.pacing import State
from pacabench.proxy.patience import Patience
from pacabench.proxy.terms import FREE, Ask, Ruling, Terms

LANE_PORT = lane_holder.LANE_PORT
WEB_PORT = lane_holder.WEB_PORT
RUNTIME_DIR = lane_holder.RUNTIME_DIR
LANE_SOCKET = lane_holder.LANE_SOCKET
SPOOL_FILE = f"{RUNTIME_DIR}/calls.spool"
ORPHAN_GRACE_S = 30.0


class ControlError(ValueError):
    """A message that one of the two ends cannot use."""


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """How to reach one provider."""

    name: str
    kind: str
    """One of ``kinds.KINDS``."""
    base_url: str | None = None
    """Normalised, no trailing slash; the paths of the kind's wire format are put behind it."""
    api_key: str | None = field(default=None, repr=False)
    """With ``access_key_id``: the secret that signs."""
    rules: list[dict[str, Any]] | None = None
    """Only ``scripted``."""
    access_key_id: str | None = None
    """Only ``bedrock``, as the two fields below."""
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    key_name: str | None = None
    """The variable that the key came from, or would come from; for messages."""
    private: bool = False
    """Its host may be in a private network: the user's own base URL says so."""
    forward_proxy: str | None = field(default=None, repr=False)
    """The URL of a proxy on the way to the provider; may hold a name and a password."""
    allow_tools: list[str] = field(default_factory=list)
    """Of ``provider_tools.PROVIDER_TOOLS``: what it may do beside answering."""
    sealed: bool = False
    """Its calls are answered out of a cassette, and nothing is ever sent to it."""


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """How calls are compared with recorded ones, and how fast they are answered."""

    ignore: list[list[str]] = field(default_factory=list)
    """JSON pointers, each in parts."""
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Configure:
    """First message: the providers; ``default`` answers at /v1."""

    providers: list[ProviderSpec]
    default: str
    patience: Patience = field(default_factory=Patience)
    live_waits: bool = False
    """Send ``Waited`` whenever an attempt begins or ends to wait, and not at its end alone."""
    refused: list[str] = field(default_factory=list)
    """Addresses that no agent may reach, though they be public: the harness's machine's own."""
    keeping: Keeping | None = None
    """What of each call is sent in a ``Taped``. None: nothing."""
    replay: ReplayRules | None = None
    """Ask by ``Find`` for an answer to each call."""


@dataclass(frozen=True, slots=True)
class Bind:
    """From now on calls in ``lane`` that carry ``key`` belong to ``attempt_id``."""

    seq: int
    lane: str
    attempt_id: str
    key: str
    allow: list[str] = field(default_factory=list)
    """Entries of ``sandbox.egress.allow``: what it may reach through the lane's second port."""
    terms: Terms = FREE


@dataclass(frozen=True, slots=True)
class Unbind:
    """Refuse further calls in ``lane``; answer once those under way are recorded."""

    seq: int
    lane: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Say that you live. One that does not is stuck, and its agents wait in vain."""

    seq: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End in good order."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Configured and accepting lanes."""

    version: str


@dataclass(frozen=True, slots=True)
class LaneUp:
    """A lane holder passed its listening socket."""

    lane: str


@dataclass(frozen=True, slots=True)
class LaneDown:
    """A lane holder is gone."""

    lane: str


@dataclass(frozen=True, slots=True)
class Done:
    """Answers the Bind, Unbind or Ping with the same ``seq``."""

    seq: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """An LLM call ended."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class Question:
    """May a call go out? It waits for the ``Decision``, which may take its time."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to the ``Question`` about the call of this id."""

    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Text:
    """What the harness has to count of the call that ends next; it is written nowhere."""

    text: CallText


@dataclass(frozen=True, slots=True)
class Waited:
    """How long an attempt waited for its provider so far, and whether it does now."""

    attempt_id: str
    waiting: bool
    total_ms: float


@dataclass(frozen=True, slots=True)
class Health:
    """A provider is down, is being tried again, or is back."""

    provider: str
    state: State
    why: str


@dataclass(frozen=True, slots=True)
class Egress:
    """A way out to the web ended, or was refused."""

    record: EgressRecord


@dataclass(frozen=True, slots=True)
class Taped:
    """What passed in the call whose record comes next: an exchange as bytes, in base64."""

    exchange: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Nothing of the call whose record comes next was kept."""

    call_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Find:
    """Is there a recorded answer to this call?"""

    seq: int
    asked: Asked


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers the Find with the same ``seq``; see ``replay.Found``."""

    seq: int
    exchange: str | None
    """As bytes in base64."""
    live: bool
    why: str
    error: bool = False
    """The cassette could not be read; ``why`` says more."""


@dataclass(frozen=True, slots=True)
class Notice:
    """For the harness's log."""

    level: str
    text: str


Message: TypeAlias = (
    Configure
    | Bind
    | Unbind
    | Ping
    | Shutdown
    | Ready
    | LaneUp
    | LaneDown
    | Done
    | Question
    | Decision
    | Call
    | Egress
    | Text
    | Waited
    | Health
    | Notice
    | Taped
    | LeftOut
    | Find
    | Answer
)
_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}
_FIELDS = {kind: tuple(item.name for item in fields(kind)) for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """One line, newline included."""
    kind = type(message)
    body = {name: getattr(message, name) for name in _FIELDS[kind]}
    return orjson.dumps({"type": kind.__name__, **body}) + b"\n"


def decode(line: bytes) -> Message:
    """The message in ``line``.

    Raises:
        ControlError: the line is no message of this version.
    """
    try:
        body = orjson.loads(line)
        kind = _TYPES[body.pop("type")]
        if kind is Configure:
            body["providers"] = [ProviderSpec(**spec) for spec in body["providers"]]
            body["patience"] = Patience(**body["patience"])
            for name, part in (("keeping", Keeping), ("replay", ReplayRules)):
                body[name] = None if body.get(name) is None else part(**body[name])
        elif kind in _PARTS:
            name, read = _PARTS[kind]
            body[name] = read(body[name])
        message: Message = kind(**body)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ControlError(f"not a control message: {line[:200]!r}") from error
    return message


def decode_call(body: dict[str, Any]) -> CallRecord:
    """A call record from its JSON form (control channel and spool)."""
    usage = body["usage"]
    tries = tuple(FailedTry(**entry) for entry in body.get("failed_tries", ()))
    usage = None if usage is None else Usage(**usage)
    return CallRecord(**{**body, "usage": usage, "failed_tries": tries})


def decode_egress(body: dict[str, Any]) -> EgressRecord:
    """A way out from its JSON form (control channel and spool)."""
    return EgressRecord(**body)


_PARTS: dict[type[Any], tuple[str, Callable[[dict[str, Any]], Any]]] = {
    Bind: ("terms", lambda body: Terms(**body)),
    Question: ("ask", lambda body: Ask(**body)),
    Decision: ("ruling", lambda body: Ruling(**body)),
    Call: ("record", decode_call),
    Egress: ("record", decode_egress),
    Find: ("asked", lambda body: Asked(**body)),
    Text: ("text", lambda body: CallText(**body)),
}
"""Messages with a field that is no plain value: its name, and how it is read."""
