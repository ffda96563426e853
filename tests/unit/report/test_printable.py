"""Nothing that somebody else chose reaches a terminal as a command, or a document as markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.report.printable import (
    markdown_cell,
    printable,
    printable_block,
    printable_json,
)

any_text = st.text(st.characters(exclude_categories=()))


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain text, 100 %", "plain text, 100 %"),
            ("Größe 基准 عربي 👩‍👧", "Größe 基准 عربي 👩‍👧"),
            ("\x1b[31mred", "\\x1b[31mred"),
            ("\x1b]8;;http://x\x07link", "\\x1b]8;;http://x\\x07link"),
            ("\x9b2J", "\\x9b2J"),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00"),
            ("\u202eevil\u2066\u200f", "\\u202eevil\\u2066\\u200f"),
            ("\u2028\u2029\ufeff\x7f", "\\u2028\\u2029\\ufeff\\x7f"),
            ("\ud800", "\\ud800"),
            ("[red]markup[/red]", "[red]markup[/red]"),
        ],
    )
    def test_shows_what_is_plain_and_escapes_the_rest(self, text: str, shown: str) -> None:
        assert printable(text) == shown

    @given(any_text, st.integers(1, 50))
    def test_is_always_one_bounded_line_that_can_be_encoded(self, text: str, limit: int) -> None:
        shown = printable(text, limit)
        assert len(shown) <= limit
        assert shown.isprintable() or not set(shown) & set(map(chr, [*range(32), *range(127, 160)]))
        shown.encode("utf-8")
        assert len(shown.splitlines()) <= 1

    def test_marks_what_was_cut_off(self) -> None:
        assert printable("abcdef", 4) == "abc…"
        assert printable("abcd", 4) == "abcd"
        assert printable("\0" * 4, 4) == "\\x0…"


class TestPrintableBlock:
    def test_keeps_lines_and_widens_tabs(self) -> None:
        assert printable_block("a\r\n\tb\x1b[2J\rc") == "a\n    b\\x1b[2J\\rc"

    @given(any_text)
    def test_has_no_other_control_characters(self, text: str) -> None:
        shown = printable_block(text)
        assert not set(shown) & (set(map(chr, [*range(32), *range(127, 160)])) - {"\n"})
        shown.encode("utf-8")

    def test_is_bounded(self) -> None:
        assert len(printable_block("a\tb\n" * 10_000, 100)) <= 100


class TestPrintableJson:
    def test_shows_a_string_as_its_text_and_all_else_as_json(self) -> None:
        assert printable_json("a\nb") == "a\\nb"
        assert printable_json({"a": [1, None]}) == '{"a":[1,null]}'

    def test_shows_also_what_json_cannot_hold(self) -> None:
        assert printable_json({"a": "\ud800"}) == "{'a': '\\ud800'}"


class TestMarkdownCell:
    @pytest.mark.parametrize(
        "text",
        [
            "a|b",
            "`code`",
            "<img src=x>",
            "[a](http://b)",
            "http://x.example",
            "www.x.example",
            "@someone",
            "*bold* _it_ ~~gone~~ $x$",
            "&lt;",
            "a\nb",
            "\\| \\` \\<",
        ],
    )
    def test_lets_no_markup_through(self, text: str) -> None:
        shown = markdown_cell(text)
        assert "<" not in shown
        assert "\n" not in shown
        assert "://" not in shown
        assert "www." not in shown
        bare = shown.replace("\\\\", "")
        for place, char in enumerate(bare):
            if char in "|`[]@*_~$":
                assert bare[place - 1] == "\\", shown

    def test_leaves_plain_text_as_it_is(self) -> None:
        assert markdown_cell("12:30, 5 % of (all) runs - v1.2") == "12:30, 5 % of (all) runs - v1.2"
