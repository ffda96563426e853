"""Ends a run whose provider refuses the key: no waiting mends that, and further cases are lost."""

from collections import Counter
from collections.abc import Callable, Sequence

from pacabench.model import CallRecord
from pacabench.proxy.control import ProviderSpec

_SUCCESS = range(200, 300)
_UNAUTHORIZED = 401
_REFUSED_BY_WORDS = frozenset({400, 403})
_WORDS = (
    "api key not valid",
    "api key expired",
    "security token included in the request is",
    "signature we calculated does not match",
)
"""Of Google, which answers 400, and of AWS, which answers 403."""
_DOUBTED_AFTER = 3
"""Refusals in a row of a key that was good before: one may be a hiccup of whoever checks keys."""


class KeyWatch:
    """Is told of every call.

    Args:
        providers: for the names of the variables that their keys came from.
        end: ends the run; told why and what to do.
    """

    def __init__(self, providers: Sequence[ProviderSpec], end: Callable[[str], None]) -> None:
        self._specs = {spec.name: spec for spec in providers if spec.kind != "scripted"}
        self._end = end
        self._good: set[str] = set()
        self._refused: Counter[str] = Counter()

    def take(self, call: CallRecord) -> None:
        """A call ended. What the proxy denied, or a cassette answered, says nothing of the key."""
        spec = self._specs.get(call.provider)
        if spec is None or call.status is None or call.replay is not None:
            return
        if not _refuses_key(call):
            if call.status in _SUCCESS:
                self._good.add(call.provider)
                del self._refused[call.provider]
            return
        self._refused[call.provider] += 1
        needed = _DOUBTED_AFTER if call.provider in self._good else 1
        if self._refused[call.provider] == needed:
            self._end(_advice(spec, call))


def _advice(spec: ProviderSpec, call: CallRecord) -> str:
    said = f"HTTP status {call.status}" + (f": {call.error}" if call.error else "")
    if spec.api_key is None:
        return f"provider {spec.name} wants a key ({said}): set {spec.key_name}, then resume"
    return (
        f"provider {spec.name} refuses the key in {spec.key_name} ({said}): put a valid one there, "
        "then resume"
    )


def _refuses_key(call: CallRecord) -> bool:
    said = (call.error or "").lower()
    return call.status == _UNAUTHORIZED or (
        call.status in _REFUSED_BY_WORDS and any(words in said for words in _WORDS)
    )
