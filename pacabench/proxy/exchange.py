"""What passed in one LLM call, whole and in order: what a cassette is made of.

As bytes an exchange is a first line that names the format, a line of JSON with everything but the
bodies, and the bodies themselves: the request's, then the reply's pieces one after the other. It is
one form for the control channel, for the disk, and for hashing. ``docs/replay.md`` describes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, get_args

import orjson

MAGIC = b"pacabench-exchange 1\n"
MAX_EXCHANGE_BYTES = 32 * 1024**2
"""Of one exchange as bytes. A longer one is not recorded."""
MAX_FRAMES = 100_000
"""Of one reply. What comes after them is added to the last one: no byte is lost, only its time."""
_MAX_HEAD_BYTES = 8 * 1024**2
_HEAD_ROOM = 1024**2
"""What of an exchange may be no body."""

Ending: TypeAlias = Literal[
    "whole",  # the reply came to its end
    "broken",  # the provider could not be reached, or broke off; ``error`` says how
    "left",  # the agent was gone first, and nobody read on
]


class ExchangeError(ValueError):
    """Bytes that are no exchange."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of a reply's body as it came in."""

    at_us: int
    """Microseconds since the call arrived."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """One logical call: what the agent asked, and what it was handed. Keys are taken out.

    A call that the proxy tried several times is one exchange, that of its last try;
    ``failed_tries`` tells of the others.
    """

    call_id: str
    attempt_id: str
    arrived_us: int
    """By a clock that runs on through an attempt: orders the calls of one."""
    provider: str
    endpoint: str
    model: str | None
    method: str
    path: str
    """``/PROVIDER`` and the path below its base URL, whichever of its served paths was asked."""
    query: tuple[tuple[str, str], ...]
    """Sorted, without the key."""
    request_headers: tuple[tuple[str, str], ...]
    """Those that say what the body is and in which version of the API it is written."""
    status: int | None
    """None where no reply came."""
    reply_headers: tuple[tuple[str, str], ...]
    """As the agent got them."""
    asked_usage: bool
    """The proxy had asked for usage that the agent had not: what that added is in the frames."""
    ending: Ending
    error: str | None
    ended_us: int
    """Microseconds from the call's arrival to its end."""
    request_bytes: int
    """Of the whole body, also where less of it was kept."""
    reply_bytes: int
    failed_tries: tuple[tuple[int | None, str | None], ...] = ()
    """Status and error of each."""
    output_limit: int | None = None
    """What the proxy had limited its output to, for the sake of a budget."""
    request: bytes = field(default=b"", repr=False)
    frames: tuple[Frame, ...] = field(default=(), repr=False)

    @property
    def reply(self) -> bytes:
        """The reply's body."""
        return b"".join(frame.data for frame in self.frames)

    @property
    def answers(self) -> bool:
        """There is something to answer an equal request with."""
        return self.status is not None or self.ending == "broken"


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that an answer is looked for."""

    attempt_id: str
    digest: str
    """Of the request, see ``canonical.request_digest``."""
    what: str
    """Method and path, for people."""
    model: str | None
    outline: dict[str, str] = field(default_factory=dict)
    """See ``canonical.outline``: to say what differs where nothing fits."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of a body is kept."""

    whole: bool = True
    """All of it, or else nothing of the exchange."""
    most_bytes: int = MAX_EXCHANGE_BYTES - _HEAD_ROOM
    """With ``whole``: of both bodies together. Without it each body is cut there."""


_IN_HEAD = tuple(item.name for item in fields(Exchange) if item.name not in {"request", "frames"})


def encode_exchange(exchange: Exchange) -> bytes:
    """``exchange`` as bytes. Equal exchanges give equal bytes."""
    head: dict[str, Any] = {name: getattr(exchange, name) for name in _IN_HEAD}
    if exchange.output_limit is None:  # most have none, and older versions know of none
        del head["output_limit"]
    head["kept_request"] = len(exchange.request)
    head["frames"] = [(frame.at_us, len(frame.data)) for frame in exchange.frames]
    line = orjson.dumps(head, option=orjson.OPT_SORT_KEYS)
    return b"".join((MAGIC, line, b"\n", exchange.request, *(it.data for it in exchange.frames)))


def decode_exchange(content: bytes) -> Exchange:
    """The exchange in ``content``, which may come from anybody.

    Raises:
        ExchangeError: it is none, or none of this version.
    """
    if len(content) > MAX_EXCHANGE_BYTES:
        raise ExchangeError(f"longer than {MAX_EXCHANGE_BYTES} bytes")
    if not content.startswith(MAGIC):
        raise ExchangeError(f"it does not begin with {MAGIC.decode().strip()!r}")
    end = content.find(b"\n", len(MAGIC), len(MAGIC) + _MAX_HEAD_BYTES)
    if end < 0:
        raise ExchangeError("its head has no end")
    try:
        head = orjson.loads(content[len(MAGIC) : end])
        kept, lengths = head.pop("kept_request"), head.pop("frames")
        exchange = Exchange(**head)
        _check(exchange, kept, lengths)
    except ExchangeError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ExchangeError(f"its head is not understood: {error}") from None
    return _with_bodies(head, content, end + 1, kept, lengths)


def _with_bodies(
    head: dict[str, Any], content: bytes, place: int, kept: int, lengths: Sequence[tuple[int, int]]
) -> Exchange:
    if place + kept + sum(length for _, length in lengths) != len(content):
        raise ExchangeError("its bodies are longer or shorter than its head says")
    request = content[place : place + kept]
    place += kept
    frames = []
    for at_us, length in lengths:
        frames.append(Frame(at_us, content[place : place + length]))
        place += length
    for name in ("query", "request_headers", "reply_headers", "failed_tries"):
        head[name] = tuple((first, second) for first, second in head[name])
    return Exchange(**head, request=request, frames=tuple(frames))


def _check(exchange: Exchange, kept: object, lengths: object) -> None:
    """Every value is of its type, and no number is absurd."""
    for name in ("call_id", "attempt_id", "provider", "endpoint", "method", "path"):
        _expect(isinstance(getattr(exchange, name), str), name)
    for name in ("model", "error"):
        _expect(getattr(exchange, name) is None or isinstance(getattr(exchange, name), str), name)
    for name in ("arrived_us", "ended_us", "request_bytes", "reply_bytes"):
        _expect(_is_count(getattr(exchange, name)), name)
    _expect(exchange.ending in get_args(Ending), "ending")
    _expect(isinstance(exchange.asked_usage, bool), "asked_usage")
    status = exchange.status
    _expect(status is None or (_is_count(status) and status in _STATUSES), "status")
    for name in ("query", "request_headers", "reply_headers"):
        _expect(_is_pairs(getattr(exchange, name), str, str), name)
    _expect(exchange.output_limit is None or _is_count(exchange.output_limit), "output_limit")
    tries = exchange.failed_tries
    _expect(_is_pairs(tries, int | None, str | None), "failed_tries")
    _expect(_is_count(kept), "kept_request")
    _expect(_is_pairs(lengths, int, int), "frames")
    assert isinstance(lengths, list)
    _expect(len(lengths) <= MAX_FRAMES, "frames")
    _expect(all(_is_count(at_us) and _is_count(size) for at_us, size in lengths), "frames")


_STATUSES = range(200, 600)
_MAX_COUNT = 2**53


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT


def _is_pairs(value: object, first: Any, second: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple)
        and len(pair) == 2  # noqa: PLR2004 - a pair
        and isinstance(pair[0], first)
        and isinstance(pair[1], second)
        for pair in value
    )


def _expect(holds: bool, name: str) -> None:
    if not holds:
        raise ExchangeError(f"its {name} cannot be that")
