"""What was said in the LLM calls of a case: ``show --case ID --calls``."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from pacabench.model import CallRecord
from pacabench.report.cases import CaseHistory
from pacabench.report.printable import printable, printable_block
from pacabench.store import RunRecord
from pacabench.store.bodies import Body, CallBodies, read_bodies

_SHOWN_CHARS = 20_000
"""Of each body; JSON has all that was kept."""
_NONE_KEPT = "what was said in calls was not kept: set `config.proxy.capture: bodies` before a run"


def said_in(
    record: RunRecord, histories: Sequence[CaseHistory], warn: Callable[[str], None]
) -> Iterator[RenderableType]:
    """Each call's request and reply, escaped, and what of them is missing.

    ``warn`` is told of an end of the file that cannot be read.

    Raises:
        JournalError: the run's bodies cannot be read.
    """
    calls = [metered.call for history in histories for metered in history.calls]
    kept = read_bodies(record.run_dir, {call.call_id for call in calls}, warn)
    if kept is None:
        yield Text(_NONE_KEPT, style="yellow")
        return
    for number, call in enumerate(calls, 1):
        yield from _call(number, call, kept.get(call.call_id))


def _call(number: int, call: CallRecord, bodies: CallBodies | None) -> Iterator[RenderableType]:
    status = "" if call.status is None else f", status {call.status}"
    replayed = ", replayed" if call.replay == "served" else ""
    title = f"call {number}: {call.provider} {call.endpoint} {call.model or ''}{status}{replayed}"
    yield Rule(Text(printable(title, 200), style="bold"), align="left")
    if bodies is None:
        why = "the proxy denied it" if call.end == "denied" else "it was lost with its proxy"
        yield Text(f"nothing was kept: {why}", style="yellow")
    elif bodies.left_out is not None:
        yield Text(f"nothing was kept: {printable(bodies.left_out)}", style="yellow")
    else:
        for name, body in (("request", bodies.request), ("response", bodies.response)):
            if body is not None:
                yield from _body(name, body)


def _body(name: str, body: Body) -> Iterator[RenderableType]:
    line = Text(f"{name}, {body.size_bytes:,} bytes", style="bold")
    if body.kept_bytes < body.size_bytes:
        left_out = body.size_bytes - body.kept_bytes
        line.append(f"; the last {left_out:,} were not kept", style="yellow")
    if len(body.text) > _SHOWN_CHARS:
        line.append(
            f"; shown are the first {_SHOWN_CHARS:,} characters, `--json` has all that were kept",
            style="yellow",
        )
    yield line
    yield Text(printable_block(body.text, _SHOWN_CHARS))
