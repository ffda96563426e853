"""What a gateway does about recordings: which calls are kept, and which are answered out of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pacabench.proxy.exchange import Keeping
from pacabench.proxy.handover import Handover, Parties
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.record import CallDraft
from pacabench.proxy.replay import Replay
from pacabench.proxy.routes import Route
from pacabench.proxy.taping import MOST_HELD_BYTES, Keep, LeftOut, Tape


@dataclass(frozen=True, slots=True, eq=False)
class Tapes:
    """Of a gateway. By default nothing is kept, and every call goes to its provider."""

    keeping: Keeping | None = None
    keep: Keep = lambda _: None
    left_out: LeftOut = lambda *_: None
    replay: Replay | None = None
    held: HeldBytes = field(default_factory=lambda: HeldBytes(MOST_HELD_BYTES))

    def of_call(self, route: Route, virtual_key: bytes) -> "CallTape | None":
        """What is done about one call, if anything is."""
        if self.keeping is None and self.replay is None:
            return None
        return CallTape(self, route, virtual_key.decode("utf-8", "surrogateescape"))


class CallTape:
    """Of one call: its tape, where it is kept, and its answer, where it is replayed."""

    def __init__(self, tapes: Tapes, route: Route, virtual_key: str) -> None:
        self._tapes, self._route = tapes, route
        provider = route.provider
        known = (provider.api_key, *provider.secrets, virtual_key)
        self._secrets: Sequence[str] = [it for it in known if it]
        self.tape: Tape | None = None
        if tapes.keeping is not None:
            self.tape = Tape(tapes.keeping, tapes.held, self._secrets)

    def asked(self, headers: Mapping[str, str], body: bytes) -> None:
        """The request is there."""
        if self.tape is not None:
            self.tape.asked(self._route, headers, self._sent(body))

    async def replayed(self, parties: Parties, handover: Handover, body: bytes) -> bool:
        """Answer the call out of the cassette; False where its provider is to be asked.

        Raises:
            UpstreamError, ConnectionError, DrainOver: as ``Replay.serve``.
        """
        if self._tapes.replay is None:
            return False
        secrets = [it.encode() for it in self._secrets]
        return await self._tapes.replay.serve(parties, handover, self._sent(body), secrets)

    def _sent(self, body: bytes) -> bytes:
        """What of it goes to the provider."""
        return body if self._route.endpoint.method == "POST" else b""

    def broke(self, error: str) -> None:
        """The provider could not be reached, or broke off."""
        if self.tape is not None:
            self.tape.ended("broken", error)

    def close(self, draft: CallDraft) -> None:
        """The call is over: hand on what was kept, or say why nothing was. Raises nothing."""
        if self.tape is None:
            return
        try:
            exchange = self.tape.close(draft)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the call's record
            self.tape.give_up(f"inside the proxy: {type(error).__name__}")
            exchange = None
        if exchange is not None:
            self._tapes.keep(exchange)
        elif self.tape.left_out is not None:
            self._tapes.left_out(draft.call_id, self.tape.left_out)
        self.tape = None
