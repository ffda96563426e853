"""Keeps what passes in a call, for a cassette or for whoever wants to look at bodies later.

It is held in memory until the call ends, never slows the agent's reply, and is given up as a whole
where it becomes too much: whoever gets the exchanges can tell by the calls which ones are missing.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from pacabench.proxy.exchange import MAX_FRAMES, Ending, Exchange, Frame, Keeping
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.keys import KEY_PARAMETER
from pacabench.proxy.passage import SHORTEST_SECRET
from pacabench.proxy.record import CallDraft
from pacabench.proxy.routes import Route

MOST_HELD_BYTES = 256 * 1024**2
"""Of all calls under way in one gateway."""

Keep: TypeAlias = Callable[[Exchange], None]
"""Takes an exchange when its call ends, before the call's record. Must not block."""
LeftOut: TypeAlias = Callable[[str, str], None]
"""Told a call's id and why its exchange is not kept."""


class Tape:
    """What passes in one call. Feed it, then ``close`` it once.

    Args:
        keeping: how much of it.
        held: the memory that all tapes share.
        secrets: what must not be in it: real keys, and the attempt's own.
    """

    def __init__(self, keeping: Keeping, held: HeldBytes, secrets: Iterable[str]) -> None:
        self._keeping, self._held = keeping, held
        self._secrets = [it.encode() for it in secrets if len(it) >= SHORTEST_SECRET]
        self._began = time.perf_counter()
        self._route: Route | None = None
        self._request_headers: tuple[tuple[str, str], ...] = ()
        self._request = b""
        self._request_bytes = 0
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._asked_usage = False
        self._frames: list[tuple[int, bytes]] = []
        self._merged: list[bytes] = []
        self._reply_bytes = self._reply_kept = self._taken = 0
        self._ending: Ending = "left"
        self._error: str | None = None
        self.left_out: str | None = None
        """Why nothing of it is kept."""

    def asked(self, route: Route, headers: Mapping[str, str], body: bytes) -> None:
        """The request, as far as it concerns the provider."""
        self._route = route
        self._request_headers = tuple(
            (name, self._text(value)) for name, value in sorted(headers.items())
        )
        self._request_bytes = len(body)
        self._request = self._kept(body, 0)

    def replied(self, status: int, headers: Mapping[str, str], *, asked_usage: bool) -> None:
        """The reply's head, as the agent gets it."""
        self._status, self._asked_usage = status, asked_usage
        self._headers = tuple((name, self._text(value)) for name, value in headers.items())

    def took(self, chunk: bytes) -> None:
        """The next piece of the reply's body, plain and without the provider's key."""
        self._reply_bytes += len(chunk)
        kept = self._kept(chunk, self._reply_kept)
        if not kept:
            return
        self._reply_kept += len(kept)
        if len(self._frames) < MAX_FRAMES:
            self._frames.append((self._now_us(), kept))
        else:
            self._merged.append(kept)

    def ended(self, ending: Ending, error: str | None = None) -> None:
        """How the reply ended. Not called where the agent was gone first."""
        self._ending, self._error = ending, error

    def give_up(self, why: str) -> None:
        """Keep nothing of it."""
        if self.left_out is None:
            self.left_out = why
        self._release()
        self._request = b""
        self._frames, self._merged = [], []

    def close(self, draft: CallDraft) -> Exchange | None:
        """The exchange; None where there is none, or where it is ``left_out``."""
        route = self._route
        if route is None or draft.end == "denied":
            self._release()
            return None
        if self.left_out is not None:
            return None
        exchange = Exchange(
            call_id=draft.call_id,
            attempt_id=draft.attempt_id,
            arrived_us=int(self._began * 1e6),
            provider=route.provider.name,
            endpoint=route.endpoint.name,
            model=None if draft.model is None else self._text(draft.model),
            method=route.endpoint.method,
            path=path_of(route, self._secrets),
            query=query_of(route, self._secrets),
            request_headers=self._request_headers,
            status=self._status,
            reply_headers=self._headers,
            asked_usage=self._asked_usage,
            ending=self._ending,
            error=None if self._error is None else self._text(self._error),
            ended_us=self._now_us(),
            request_bytes=self._request_bytes,
            reply_bytes=self._reply_bytes,
            failed_tries=tuple((it.status, it.error) for it in draft.failed_tries),
            output_limit=draft.output_limit,
            request=self._clean_request(),
            frames=self._clean_frames(),
        )
        self._release()
        return exchange

    def _release(self) -> None:
        """Its bytes are held here no longer."""
        self._held.give_back(self._taken)
        self._taken = 0

    def _kept(self, data: bytes, have: int) -> bytes:
        """What of ``data`` is kept; where it is too much in all, everything is given up."""
        most = self._keeping.most_bytes
        if self.left_out is not None:
            return b""
        if self._keeping.whole and self._request_bytes + self._reply_bytes > most:
            self.give_up(f"it is longer than {most // 1024**2} MiB")
            return b""
        kept = data if self._keeping.whole else data[: max(0, most - have)]
        if not self._held.take(len(kept)):
            self.give_up("too many long calls were under way at once")
            return b""
        self._taken += len(kept)
        return kept

    def _text(self, text: str) -> str:
        written = text.encode("utf-8", "surrogateescape")
        return without_keys(written, self._secrets).decode("utf-8", "backslashreplace")

    def _clean_request(self) -> bytes:
        clean = without_keys(self._request, self._secrets)
        cut = len(self._request) < self._request_bytes
        return clean[: len(clean) - self._begun_key(clean)] if cut else clean

    def _begun_key(self, data: bytes) -> int:
        """How many bytes at the end of what was cut there begin a key."""
        longest = max(map(len, self._secrets), default=0)
        for size in range(min(longest - 1, len(data)), 0, -1):
            if any(secret.startswith(data[-size:]) for secret in self._secrets):
                return size
        return 0

    def _clean_frames(self) -> tuple[Frame, ...]:
        """The frames with every key blotted out, also one that lies across two of them.

        What is put there is as long as the key: no frame begins elsewhere, no length is wrong.
        """
        if self._merged:
            at_us, last = self._frames[-1]
            self._frames[-1] = (at_us, b"".join((last, *self._merged)))
        whole = b"".join(data for _, data in self._frames)
        cut = self._begun_key(whole) if self._reply_kept < self._reply_bytes else 0
        if not cut and not any(secret in whole for secret in self._secrets):
            return tuple(Frame(at_us, data) for at_us, data in self._frames)
        for secret in self._secrets:
            whole = whole.replace(secret, b"[key]".ljust(len(secret), b"*"))
        whole = whole[: len(whole) - cut]
        frames, place = [], 0
        for at_us, data in self._frames:
            frames.append(Frame(at_us, whole[place : place + len(data)]))
            place += len(data)
        return tuple(frames)

    def _now_us(self) -> int:
        return int((time.perf_counter() - self._began) * 1e6)


def without_keys(data: bytes, secrets: Iterable[bytes]) -> bytes:
    """``data`` with a word in place of each of ``secrets``."""
    for secret in secrets:
        data = data.replace(secret, b"[key]")
    return data


def path_of(route: Route, secrets: Iterable[bytes]) -> str:
    """The path of a request as it is compared: the same, whichever of its paths was asked."""
    path = f"/{route.provider.name}{route.target.partition('?')[0]}"
    return without_keys(path.encode(), secrets).decode()


def query_of(route: Route, secrets: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """The query of a request as it is compared: sorted, without the key."""
    return tuple(
        (name, without_keys(value.encode(), secrets).decode())
        for name, value in sorted(route.query.items())
        if name != KEY_PARAMETER
    )
