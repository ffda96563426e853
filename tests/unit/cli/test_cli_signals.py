"""Two steps to stop a run. Real signals, sent to this process."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from pacabench.cli.signals import SIGNALS, stop_on_signals
from pacabench.scheduler import Stop


@pytest.fixture(autouse=True)
def _as_in_the_foreground() -> Iterator[None]:
    """Behind ``nohup`` or ``&`` some are ignored, and would stay so."""
    defaults = dict.fromkeys(SIGNALS, signal.SIG_DFL)
    defaults[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, how) for number, how in defaults.items()}
    yield
    for number, how in before.items():
        signal.signal(number, how)


async def _forever() -> None:
    await asyncio.Event().wait()


async def _send(number: signal.Signals, heard: list[int]) -> None:
    """Send it, and wait until it was heard: on a busy machine another thread may get it late."""
    before = len(heard)
    os.kill(os.getpid(), number)
    while len(heard) == before:  # noqa: ASYNC110 - the handler is what is tested
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_first_asks_and_the_second_cancels(number: signal.Signals) -> None:
    work, stop, counts = asyncio.create_task(_forever()), Stop(), list[int]()
    with stop_on_signals(work, stop, counts.append):
        await _send(number, counts)
        assert stop.requested
        assert not work.done()
        await _send(number, counts)
    with pytest.raises(asyncio.CancelledError):
        await work
    assert counts == [1, 2]


async def test_a_third_one_cancels_no_more_than_the_second() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await _forever()
        finally:
            await asyncio.sleep(0.1)
            cleaned.append("up")

    task, counts = asyncio.create_task(work()), list[int]()
    with stop_on_signals(task, Stop(), counts.append):
        await asyncio.sleep(0)
        for _ in range(3):
            await _send(signal.SIGTERM, counts)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert cleaned == ["up"]
    assert counts == [1, 2, 3]


async def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    work, stop = asyncio.create_task(_forever()), Stop()
    try:
        with stop_on_signals(work, stop, lambda _: None):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.05)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        work.cancel()


async def test_handlers_are_gone_afterwards() -> None:
    work = asyncio.create_task(_forever())
    with stop_on_signals(work, Stop(), lambda _: None):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    work.cancel()
