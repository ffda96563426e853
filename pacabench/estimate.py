"""Tokens of calls whose provider told no usage, or not all of it: counted by a real tokenizer.

The vocabulary is OpenAI's newest public one. Other models' tokenizers differ from it by some ten or
twenty per cent, so what it counts is called an estimate wherever it is shown. It ships with the
package; nothing is downloaded.
"""

import lzma
from dataclasses import replace
from functools import cache
from importlib.resources import files

import orjson
import tiktoken

from pacabench.billing import EMBEDDING_ENDPOINTS
from pacabench.model import CallRecord, Usage
from pacabench.proxy.excerpt import CallText

_VOCABULARY = "o200k_base.xz"
_PIECE_CHARACTERS = 8 * 1024
"""Counted at a time, so that no text without a space takes long."""
TOKENS_PER_TURN = 3
"""What a chat format puts around each message, and once around all of them."""


@cache
def _encoding() -> tiktoken.Encoding:
    """Takes about half a second, once, and only in runs that need it."""
    packed = files("pacabench.vocabulary").joinpath(_VOCABULARY).read_bytes()
    head, _, body = lzma.decompress(packed).partition(b"\n")
    described = orjson.loads(head)
    ranks: dict[bytes, int] = {}
    place = 0
    while place < len(body):
        end = place + 1 + body[place]
        ranks[body[place + 1 : end]] = len(ranks)
        place = end
    return tiktoken.Encoding(
        described["name"],
        pat_str=described["pattern"],
        mergeable_ranks=ranks,
        special_tokens={},
    )


def count_tokens(text: str) -> int:
    """How many tokens ``text`` has."""
    encoding = _encoding()
    return sum(
        len(encoding.encode_ordinary(text[start : start + _PIECE_CHARACTERS]))
        for start in range(0, len(text), _PIECE_CHARACTERS)
    )


def with_estimate(call: CallRecord, text: CallText) -> CallRecord:
    """``call`` with what its provider left out, counted in ``text``.

    What the provider did tell stays; a count that was not its last one is a lower bound. The output
    stays unknown where nothing of it came.
    """
    known = call.usage or Usage()
    asked = known.input_tokens
    if asked is None:
        in_turns = text.turns and call.endpoint not in EMBEDDING_ENDPOINTS
        turns = TOKENS_PER_TURN * (text.turns + 1) if in_turns else 0
        asked = _scaled(text.asked, text.asked_characters) + text.asked_tokens + turns
    said = known.output_tokens
    if call.endpoint in EMBEDDING_ENDPOINTS:
        said = 0
    elif text.said_characters:
        said = max(said or 0, _scaled(text.said, text.said_characters))
    return replace(
        call,
        usage=replace(known, input_tokens=asked, output_tokens=said),
        usage_source="estimated" if call.usage is None else "partial_provider",
        estimated=True,
    )


def _scaled(kept: str, characters: int) -> int:
    """Tokens of a text of which only the beginning was kept."""
    if not kept:
        return 0
    return round(count_tokens(kept) * max(characters, len(kept)) / len(kept))
