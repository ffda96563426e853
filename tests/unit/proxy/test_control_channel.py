"""What the sidecar says, and when it is written."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pacabench.proxy import control, sidecar
from pacabench.proxy.record import CallDraft
from pacabench.proxy.sidecar import ControlChannel

CALL = control.Call(CallDraft("attempt-1", "openai", "chat.completions").record())
DONE = control.Done(1)


@asynccontextmanager
async def open_channel() -> AsyncIterator[tuple[ControlChannel, int]]:
    """A channel, and where what it says can be read without waiting."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(writing, "wb", 0)
    writer, outlet = await loop.connect_write_pipe(sidecar._Outlet, pipe)
    try:
        yield ControlChannel(asyncio.StreamReader(), writer, outlet), reading
    finally:
        writer.close()
        os.close(reading)


def said(reading: int) -> list[control.Message]:
    try:
        return [control.decode(line) for line in os.read(reading, 2**16).splitlines()]
    except BlockingIOError:
        return []


@pytest.fixture
def _never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar, "_GATHER_S", 3600.0)


class TestRecords:
    @pytest.mark.usefixtures("_never")
    async def test_they_wait_for_each_other(self) -> None:
        async with open_channel() as (channel, reading):
            channel.send(CALL)
            channel.send(CALL)
            await asyncio.sleep(0)
            assert said(reading) == []

    async def test_they_do_not_wait_for_long(self) -> None:
        async with open_channel() as (channel, reading):
            for _ in range(2):
                channel.send(CALL)
                async with asyncio.timeout(10):
                    while (found := said(reading)) == []:  # noqa: ASYNC110 - a pipe has no event
                        await asyncio.sleep(0.001)
                assert found == [CALL]

    @pytest.mark.usefixtures("_never")
    async def test_what_somebody_waits_for_goes_out_at_once_and_after_them(self) -> None:
        async with open_channel() as (channel, reading):
            channel.send(CALL)
            channel.send(DONE)
            assert said(reading) == [CALL, DONE]

    @pytest.mark.usefixtures("_never")
    async def test_the_end_of_the_process_loses_none(self) -> None:
        async with open_channel() as (channel, reading):
            channel.send(CALL)
            await channel.flush()
            assert said(reading) == [CALL]
