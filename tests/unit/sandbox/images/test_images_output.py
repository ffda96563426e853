"""What is shown of output that others chose."""

import asyncio

import pytest

from pacabench.events import Event, Preparing
from pacabench.sandbox.docker.images.output import TAIL_LINES, Narrator, clean_line, mask


class TestCleanLine:
    def test_colours_titles_and_links_are_gone(self) -> None:
        text = (
            "\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x1b(B"
        )
        assert clean_line(text) == "red  link"

    def test_other_control_characters_show_as_such(self) -> None:
        assert clean_line("a\x08b\u202ec") == "a\ufffdb\ufffdc"

    def test_a_progress_bar_shows_its_last_state(self) -> None:
        assert clean_line("10%\r50%\r100%\r\n") == "100%"

    def test_long_lines_are_cut(self) -> None:
        line = clean_line("x" * 10**6)
        assert len(line) == 200
        assert line.endswith("…")


class TestMask:
    @pytest.mark.parametrize(
        ("text", "secret"),
        [
            ("Looking in indexes: https://user:hunter22@index.example/simple", "hunter22"),
            ("export OPENAI=sk-proj-abcdefghijkl", "abcdefghijkl"),
            ("Authorization: Bearer abc.def.ghi123", "abc.def.ghi123"),
            ("MY_API_KEY=abcdef and more", "abcdef"),
            ("password: hunter22", "hunter22"),
        ],
    )
    def test_what_looks_like_a_key(self, text: str, secret: str) -> None:
        assert secret not in mask(text)
        assert "***" in mask(text)

    def test_a_value_of_this_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INDEX_TOKEN", "plainwords")
        assert mask("sent plainwords along") == "sent *** along"

    def test_plain_text_stays(self) -> None:
        text = "Collecting tokenizers==0.19 from https://index.example/simple (task-runner)"
        assert mask(text) == text


class TestNarrator:
    async def told(self, *texts: str) -> tuple[Narrator, list[Event]]:
        events: list[Event] = []
        narrator = Narrator(events.append, "agent a")
        await asyncio.to_thread(lambda: [narrator.output(text) for text in texts])
        await asyncio.sleep(0)
        return narrator, events

    async def test_a_step_is_told_in_the_loops_thread(self) -> None:
        threads: list[bool] = []
        loop = asyncio.get_running_loop()
        narrator = Narrator(lambda _: threads.append(asyncio.get_running_loop() is loop), "x")
        await asyncio.to_thread(narrator.step, "COPY")
        await asyncio.sleep(0)
        assert threads == [True]

    async def test_a_flood_is_thinned_for_the_listener_and_kept_for_the_error(self) -> None:
        narrator, events = await self.told(*(f"line {n}" for n in range(10_000)))
        assert events[0] == Preparing("agent a: line 0")
        assert len(events) < 100
        assert narrator.tail == [f"line {n}" for n in range(10_000 - TAIL_LINES, 10_000)]

    async def test_the_tail_begins_anew_with_a_step(self) -> None:
        narrator, _ = await self.told("old")
        narrator.step("next")
        narrator.output("new\nlines\n")
        assert narrator.tail == ["new", "lines"]

    def test_a_loop_that_is_gone_hurts_nobody(self) -> None:
        async def make() -> Narrator:
            return Narrator(lambda _: None, "x")

        asyncio.run(make()).step("too late")
