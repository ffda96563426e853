"""A sidecar's recordings go to the harness, and come from there: it has no disk of its own."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable

from pacabench.proxy import control
from pacabench.proxy.exchange import (
    Asked,
    Exchange,
    ExchangeError,
    decode_exchange,
    encode_exchange,
)
from pacabench.proxy.replay import Found, Replay
from pacabench.proxy.tapes import Tapes
from pacabench.proxy.upstream import UpstreamError

MOST_WAITING_BYTES = 256 * 1024**2
"""Of messages that the harness did not take yet. Past it nothing more is recorded."""


class TapeLink:
    """The sidecar's end: ``tapes`` is what its gateway works with.

    Args:
        configuration: says what is kept and whether calls are replayed.
        send: queues a message for the harness.
        waiting_bytes: how much is in that queue.
    """

    def __init__(
        self,
        configuration: control.Configure,
        send: Callable[[control.Message], None],
        waiting_bytes: Callable[[], int],
    ) -> None:
        self._send, self._waiting_bytes = send, waiting_bytes
        self._answers: dict[int, asyncio.Future[control.Answer]] = {}
        self._seq = 0
        rules = configuration.replay
        replay = None
        if rules is not None:
            replay = Replay(self._find, [tuple(parts) for parts in rules.ignore], rules.speed)
        self.tapes = Tapes(configuration.keeping, self._keep, self._leave_out, replay)

    def take(self, answer: control.Answer) -> None:
        """An answer came."""
        waiting = self._answers.get(answer.seq)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _keep(self, exchange: Exchange) -> None:
        if self._waiting_bytes() > MOST_WAITING_BYTES:
            self._leave_out(exchange.call_id, "the harness does not keep up with what is recorded")
        else:
            self._send(control.Taped(b64encode(encode_exchange(exchange)).decode()))

    def _leave_out(self, call_id: str, why: str) -> None:
        self._send(control.LeftOut(call_id, why))

    async def _find(self, asked: Asked) -> Found:
        self._seq += 1
        seq = self._seq
        waiting = self._answers[seq] = asyncio.get_running_loop().create_future()
        try:
            self._send(control.Find(seq, asked))
            answer = await waiting
        finally:
            del self._answers[seq]
        if answer.error:
            raise UpstreamError(answer.why)
        return Found(_exchange_in(answer.exchange), answer.live, answer.why)


def _exchange_in(text: str | None) -> Exchange | None:
    """Raises UpstreamError where the harness sent what is none."""
    try:
        return None if text is None else decode_exchange(b64decode(text, validate=True))
    except (ExchangeError, ValueError) as error:
        raise UpstreamError(f"the recorded answer cannot be used: {error}") from None


def replay_rules(tapes: Tapes) -> control.ReplayRules | None:
    """What a sidecar has to know to work with the harness's ``tapes``."""
    if tapes.replay is None:
        return None
    return control.ReplayRules([list(parts) for parts in tapes.replay.ignore], tapes.replay.speed)


async def answer_to(find: control.Find, tapes: Tapes) -> control.Answer:
    """The harness's end: what its own ``tapes`` hold for a call."""
    assert tapes.replay is not None
    try:
        found = await tapes.replay.find(find.asked)
    except UpstreamError as error:
        return control.Answer(find.seq, None, live=False, why=str(error), error=True)
    text = None
    if found.exchange is not None:
        text = b64encode(encode_exchange(found.exchange)).decode()
    return control.Answer(find.seq, text, found.live, found.why)


def exchange_of(taped: control.Taped) -> Exchange:
    """What a sidecar sent.

    Raises:
        ValueError: it is no exchange.
    """
    return decode_exchange(b64decode(taped.exchange, validate=True))
