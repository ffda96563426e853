"""Tokens counted where no provider did. The vocabulary is that of the package, never downloaded."""

import base64
import hashlib
import lzma
import socket
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacabench import estimate
from pacabench.estimate import count_tokens, with_estimate
from pacabench.model import Usage
from pacabench.proxy.excerpt import MAX_CHARACTERS, CallText, Excerpt
from pacabench.proxy.texts import call_text
from pacabench.testing import fake_call

PUBLISHED = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""SHA-256 of ``o200k_base.tiktoken``, as tiktoken's own source has it."""
TEXT = CallText("call-1", "Hello world, this is a test", 27, "one two", 7, turns=1)


class TestTokenizer:
    def test_the_vocabulary_is_the_published_one(self) -> None:
        packed = files("pacabench.vocabulary").joinpath("o200k_base.xz").read_bytes()
        body = lzma.decompress(packed).partition(b"\n")[2]
        lines, place = [], 0
        while place < len(body):
            end = place + 1 + body[place]
            token = base64.b64encode(body[place + 1 : end])
            lines.append(token + b" %d\n" % len(lines))
            place = end
        assert hashlib.sha256(b"".join(lines)).hexdigest() == PUBLISHED

    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("", 0),
            ("Hello world, this is a test", 7),
            ("tiktoken is great!", 6),
            ("antidisestablishmentarianism", 6),
            ("2 + 2 = 4", 7),
        ],
    )
    def test_known_counts(self, text: str, tokens: int) -> None:
        assert count_tokens(text) == tokens

    def test_it_needs_no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("nothing may be asked")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        estimate._encoding.cache_clear()
        assert count_tokens("Hello") == 1

    @settings(max_examples=50)
    @given(st.text(max_size=200))
    def test_no_text_makes_it_raise(self, text: str) -> None:
        assert 0 <= count_tokens(text) <= 4 * len(text)


class TestEstimate:
    def test_both_sides_where_nothing_was_told(self) -> None:
        call = with_estimate(fake_call(usage=None, usage_source="none"), TEXT)
        assert call.usage == Usage(input_tokens=7 + 2 * 3, output_tokens=2)
        assert (call.usage_source, call.estimated) == ("estimated", True)

    def test_what_was_told_stays(self) -> None:
        known = Usage(input_tokens=500, cached_tokens=20)
        call = with_estimate(fake_call(usage=known, usage_source="partial_provider"), TEXT)
        assert call.usage == Usage(500, 20, None, 2)
        assert (call.usage_source, call.estimated) == ("partial_provider", True)

    def test_a_count_that_was_not_the_last_is_a_lower_bound(self) -> None:
        for told, counted in ((1, 2), (9, 9)):
            known = Usage(input_tokens=5, output_tokens=told)
            call = with_estimate(fake_call(usage=known, usage_source="partial_provider"), TEXT)
            assert call.usage.output_tokens == counted

    def test_an_output_of_which_nothing_came_stays_unknown(self) -> None:
        silent = CallText("call-1", "Hello", 5, "", 0)
        call = with_estimate(fake_call(usage=None, usage_source="none"), silent)
        assert call.usage == Usage(input_tokens=1)
        assert not call.is_counted

    def test_embeddings_have_no_output(self) -> None:
        call = fake_call(usage=None, usage_source="none", endpoint="embedContent")
        assert with_estimate(call, TEXT).usage.output_tokens == 0

    @pytest.mark.parametrize(
        ("asked", "tokens"),
        [
            (b'"Hello world"', 2),
            (b'["Hello world", "Hello"]', 4),
            (b"[1, 2, 3]", 3),
            (b"[[1, 2, 3], [4, 5, 6]]", 6),
            (b'[[1, [2]], true, 1.5, {"a": 1}, null]', 1),
        ],
    )
    def test_embeddings_are_texts_or_tokens_and_no_turns(self, asked: bytes, tokens: int) -> None:
        text = call_text("call-1", b'{"input":' + asked + b"}", Excerpt())
        call = fake_call(usage=None, usage_source="none", endpoint="embeddings")
        assert with_estimate(call, text).usage == Usage(input_tokens=tokens, output_tokens=0)

    def test_a_text_that_was_cut_counts_in_full(self) -> None:
        said = Excerpt()
        for _ in range(20):
            said.add("word " * 4096)
        assert len(said.text) == MAX_CHARACTERS
        text = call_text("call-1", b"{}", said)
        call = with_estimate(fake_call(usage=None, usage_source="none"), text)
        assert call.usage.output_tokens == pytest.approx(20 * 4096, rel=0.01)


class TestTexts:
    def test_all_that_is_billed_as_input_is_counted(self) -> None:
        body = (
            b'{"system":[{"type":"text","text":"be brief"}],"tools":[{"name":"f"}],"messages":['
            b'{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image"}]},'
            b'{"role":"assistant","content":[{"type":"tool_use","input":{"a":1}}]},'
            b'{"role":"user","content":[{"type":"tool_result","content":[{"text":"done"}]}]}]}'
        )
        text = call_text("c", body, Excerpt())
        assert text.turns == 3
        for part in ("be brief", "hi", '[{"name":"f"}]', '{"a":1}', "done"):
            assert part in text.asked

    @given(st.binary(max_size=60))
    def test_no_body_makes_it_raise(self, body: bytes) -> None:
        call_text("c", body, Excerpt())
