"""Server-sent events, cut anywhere."""

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.sse import SseEvent, SseSplitter

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.lists(
    st.sampled_from(
        [b"data: {}", b"data:x", b"data", b": ping", b"event: e", b"id: 1", b"data:  two", b""]
    ),
    max_size=12,
)


def split(stream: bytes, cuts: list[int], **settings: int) -> list[SseEvent]:
    splitter = SseSplitter(**settings)
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    events = [
        event
        for start, end in itertools.pairwise(places)
        for event in splitter.feed(stream[start:end])
    ]
    return events + splitter.finish()


def data(events: list[SseEvent]) -> list[bytes]:
    return [event.data for event in events if event.data is not None]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    return b"".join(line + draw(LINE_ENDS) for line in draw(LINES))


class TestSplitting:
    @given(st.one_of(streams(), st.binary(max_size=200)), st.lists(st.integers(0, 10_000)))
    def test_no_byte_is_lost_wherever_the_stream_is_cut(
        self, stream: bytes, cuts: list[int]
    ) -> None:
        assert b"".join(event.raw for event in split(stream, cuts)) == stream

    @given(st.one_of(streams(), st.binary(max_size=200)), st.lists(st.integers(0, 10_000)))
    def test_the_events_are_the_same_wherever_the_stream_is_cut(
        self, stream: bytes, cuts: list[int]
    ) -> None:
        assert data(split(stream, cuts)) == data(split(stream, []))

    @given(
        st.lists(st.text("ab\u00e9 {}:", max_size=10), max_size=8),
        LINE_ENDS,
        st.lists(st.integers(0, 10_000)),
    )
    def test_what_was_sent_is_what_is_read(
        self, texts: list[str], line_end: bytes, cuts: list[int]
    ) -> None:
        stream = b"".join(b"data: " + text.encode() + line_end * 2 for text in texts)
        assert data(split(stream, cuts)) == [text.encode() for text in texts]

    @given(st.lists(LINES))
    def test_whole_events_are_read_as_their_bytes_one_by_one(
        self, lines: list[list[bytes]]
    ) -> None:
        stream = b"".join(line + b"\n" for block in lines for line in (*block, b""))
        ends = [match.end() for match in re.finditer(rb"\n\n", stream)]
        assert split(stream, ends) == split(stream, list(range(len(stream))))

    def test_several_data_lines_are_one_event(self) -> None:
        assert data(split(b"data: a\ndata:b\ndata\n\n", [])) == [b"a\nb\n"]

    def test_comments_and_other_fields_are_no_data(self) -> None:
        assert data(split(b": ping\n\nevent: x\nid: 2\nretry: 5\n\ndatabase: no\n\n", [])) == []

    def test_a_byte_order_mark_is_passed_over(self) -> None:
        assert data(split(b"\xef\xbb\xbfdata: a\n\n", [])) == [b"a"]

    def test_an_event_without_its_blank_line_is_read_at_the_end(self) -> None:
        assert data(split(b"data: a\n\ndata: b", [])) == [b"a", b"b"]

    def test_an_event_is_there_as_soon_as_its_blank_line_is(self) -> None:
        splitter = SseSplitter()
        assert [event.data for event in splitter.feed(b"data: a\r\r")] == [b"a"]
        # The LF of a CR LF that was cut in two still belongs to the event before.
        assert splitter.feed(b"\n") == [SseEvent(b"\n", None, continues=True)]

    def test_an_empty_chunk_changes_nothing(self) -> None:
        splitter = SseSplitter()
        assert splitter.feed(b"data: a\r\n\r")
        assert splitter.feed(b"") == []
        assert splitter.feed(b"\n") == [SseEvent(b"\n", None, continues=True)]


class TestBounds:
    @given(streams(), st.lists(st.integers(0, 10_000)), st.integers(1, 12))
    def test_no_byte_is_lost_where_events_are_too_long(
        self, stream: bytes, cuts: list[int], limit: int
    ) -> None:
        events = split(stream, cuts, max_event_bytes=limit)
        assert b"".join(event.raw for event in events) == stream

    def test_an_event_that_is_too_long_is_skipped_and_the_next_one_is_read(self) -> None:
        splitter = SseSplitter(max_event_bytes=20)
        events = splitter.feed(b"data: a\n\ndata: " + b"x" * 30)
        events += splitter.feed(b"y" * 30 + b"\n") + splitter.feed(b"\ndata: b\n\n")
        assert data(events) == [b"a", b"b"]
        assert splitter.skipped == 1
        first, *rest = [event for event in events if event.data is None]
        assert not first.continues
        assert all(event.continues for event in rest)

    def test_a_long_event_is_not_held(self) -> None:
        splitter = SseSplitter(max_event_bytes=1000)
        for _ in range(100):
            splitter.feed(b"x" * 500)
        assert len(splitter._held) <= 1000
