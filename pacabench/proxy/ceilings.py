"""What a request can use at most: a bound of its input, and the output that it allows itself.

Input: no tokenizer in use makes more tokens of a text than it has bytes, and what chat templates
put around a message is shorter than its JSON. So the bytes of the body bound the tokens of all text
in it. Images are no text; each has a bound of its own. What a request only refers to, and what
providers fetch or run by themselves, has none.

Output: the limit that this endpoint heeds, times the number of answers (``output.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacabench.proxy.body import RequestBody
from pacabench.proxy.output import Output, output_of
from pacabench.proxy.terms import Terms
from pacabench.proxy.tools.rules import folded

TEMPLATE_TOKENS = 64
"""What providers put before every prompt."""
TOOLS_TOKENS = 2048
"""What they put before one with tools: Anthropic's is the longest, with several hundred."""
IMAGE_TOKENS = 50_000
"""The most that is known for one image: gpt-4o-mini bills 48,169 for eight tiles."""

_DOCUMENTS = frozenset({"file", "inputfile", "document", "video", "videourl", "inputvideo"})
"""By the folded ``type`` of a part, or by the folded key that holds one."""
_IMAGES = frozenset(
    {"image", "imageurl", "inputimage", "computerscreenshot", "imagegenerationcall"}
)
_AGENTS_OWN = frozenset(
    {"tools", "toolconfig", "functions", "args", "functioncall", "functionresponse", "tooluse"}
    | {"metadata", "responseformat", "generationconfig"}
)
"""Keys below which names are the agent's own."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a call can use at most."""

    input_tokens: int | None
    output: Output
    doubt: str | None = None
    """What of it has no bound."""


def bound_of(
    provider: str, endpoint: str, asked: RequestBody, terms: Terms, beyond: Sequence[str] = ()
) -> Bound:
    """The bound of a request. ``beyond`` is what the provider would do by itself for it."""
    request = asked.said
    output = output_of(provider, endpoint, request, terms.default_max_output)
    parts = [*_parts(request)]
    doubts = [*beyond, *(kind for kind, part in parts if _is_unbounded(kind, part))]
    images = sum(1 for kind, part in parts if _is_image(kind, part))
    tokens = len(asked.raw) + TEMPLATE_TOKENS + images * IMAGE_TOKENS
    if request.get("tools") or request.get("toolConfig") or request.get("functions"):
        tokens += TOOLS_TOKENS
    if not doubts:
        return Bound(tokens, output)
    if terms.default_max_input is not None:
        return Bound(tokens + len(doubts) * terms.default_max_input, output)
    return Bound(None, output, ", ".join(dict.fromkeys(doubts)))


def _is_unbounded(kind: str, part: Mapping[str, Any]) -> bool:
    """Nobody can tell from its bytes how many tokens it has: pages are compressed, sound is not."""
    if kind == "inlinedata":
        return not _media_type(part).startswith(("image/", "audio/"))
    return kind in _DOCUMENTS or (kind == "audio" and "id" in part)


def _parts(request: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object in a request that may be a part of a message: its kind, and itself."""
    pending: list[tuple[str, Any]] = [("", request)]
    while pending:
        name, item = pending.pop()
        if isinstance(item, list):
            pending += [(name, entry) for entry in item]
            continue
        if not isinstance(item, dict):
            continue
        kind = folded(item["type"]) if isinstance(item.get("type"), str) else name
        if kind == "functionresponse":
            pending.append(("", item.get("parts")))
            continue
        if kind in _AGENTS_OWN:
            continue
        if _is_text(kind, item):
            pending.append(("", _mapping(item.get("source")).get("content")))
            continue
        yield kind, item
        if kind not in _DOCUMENTS and kind not in _IMAGES:
            pending += [(folded(own), entry) for own, entry in item.items()]


def _is_image(kind: str, part: Mapping[str, Any]) -> bool:
    return kind in _IMAGES or (kind == "inlinedata" and _media_type(part).startswith("image/"))


def _media_type(part: Mapping[str, Any]) -> str:
    return str(part.get("mimeType", part.get("mime_type", ""))).lower()


def _is_text(kind: str, part: Mapping[str, Any]) -> bool:
    """A document that is all there, as text or as parts of a message."""
    source = _mapping(part.get("source"))
    return kind == "document" and (source.get("type") in ("text", "content") or "text" in source)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
