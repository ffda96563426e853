"""Work that is run to its end, and the cancellation that waits for it."""

import asyncio

import pytest

from pacabench.aio import finish


class TestFinish:
    @pytest.mark.parametrize("fails", [False, True])
    async def test_a_cancellation_at_the_very_end_is_not_lost(self, fails: bool) -> None:
        """The work is done, and who waits for it has not heard of that yet."""
        ended: list[bool] = []

        async def work() -> int:
            await asyncio.sleep(0)
            ended.append(True)
            if fails:
                raise ValueError("late")
            return 1

        waiting = asyncio.create_task(finish(work()))
        while not ended:  # noqa: ASYNC110 - it has to be seen in the very next turn of the loop
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_it_waits_for_the_work_and_is_raised_then(self) -> None:
        goes_on, ended = asyncio.Event(), []

        async def work() -> None:
            await goes_on.wait()
            ended.append(True)

        waiting = asyncio.create_task(finish(work()))
        await asyncio.sleep(0)
        for _ in range(2):
            waiting.cancel()
            await asyncio.sleep(0.01)
        assert not waiting.done()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended == [True]

    async def test_work_that_is_cancelled_itself_ends_it(self) -> None:
        async def work() -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await finish(work())

    async def test_what_the_work_raises_comes_out(self) -> None:
        async def work() -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await finish(work())
