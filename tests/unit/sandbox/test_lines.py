"""Lines out of hostile byte streams."""

import asyncio
import itertools

from hypothesis import given
from hypothesis import strategies as st

from pacabench.sandbox.lines import LineBuffer, Tail


async def read_all(buffer: LineBuffer) -> list[bytes]:
    lines = []
    while (line := await buffer.read_line()) is not None:
        lines.append(line)
    return lines


class TestLineBuffer:
    @given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
    def test_where_the_stream_is_cut_makes_no_difference(
        self, data: bytes, cuts: list[int]
    ) -> None:
        async def scenario() -> list[bytes]:
            buffer = LineBuffer()
            edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
            for start, end in itertools.pairwise(edges):
                buffer.feed(data[start:end])
            buffer.end()
            return await read_all(buffer)

        expected = data.split(b"\n")
        if expected[-1] == b"":
            expected.pop()
        assert asyncio.run(scenario()) == expected

    async def test_a_line_over_the_limit_is_cut_and_the_next_one_is_whole(self) -> None:
        buffer = LineBuffer(max_line=4)
        for _ in range(1000):
            buffer.feed(b"x" * 1000)
        buffer.feed(b"\nok\n")
        buffer.end()

        assert await read_all(buffer) == [b"xxxx", b"ok"]
        assert buffer.total_bytes == 1_000_004

    async def test_what_nobody_reads_is_dropped_past_the_limit_and_counted(self) -> None:
        buffer = LineBuffer(limit=20)
        for _ in range(100):
            buffer.feed(b"12345678\n")
        buffer.end()

        lines = await read_all(buffer)
        assert lines[:2] == [b"12345678", b"12345678"]
        assert sum(map(len, lines)) <= 20
        assert buffer.total_bytes == 900

    async def test_reading_makes_room_again(self) -> None:
        buffer = LineBuffer(limit=10)
        for number in range(5):
            buffer.feed(b"line %d\n" % number)
            assert await buffer.read_line() == b"line %d" % number

    async def test_a_read_that_is_cancelled_loses_nothing(self) -> None:
        buffer = LineBuffer()
        reading = asyncio.create_task(buffer.read_line())
        await asyncio.sleep(0)
        buffer.feed(b"answer\n")
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

        assert await buffer.read_line() == b"answer"


class TestTail:
    @given(chunks=st.lists(st.binary(max_size=50), max_size=30))
    def test_keeps_the_last_bytes_and_counts_all(self, chunks: list[bytes]) -> None:
        tail = Tail(kept=16)
        for chunk in chunks:
            tail.feed(chunk)
        whole = b"".join(chunks)

        assert tail.total_bytes == len(whole)
        assert tail.text() == whole[-16:].decode("utf-8", "replace")
