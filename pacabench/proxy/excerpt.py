"""Text that may have to be counted: a bounded piece of it, and how long all of it is."""

from dataclasses import dataclass, field

MAX_CHARACTERS = 64 * 1024
"""Kept of one side of a call. What is beyond is counted as if it were like what is kept."""


@dataclass(slots=True)
class Excerpt:
    """Grows piece by piece. Lives in memory only and is written nowhere."""

    parts: list[str] = field(default_factory=list)
    kept: int = 0
    """Characters in ``parts``."""
    characters: int = 0
    """In all."""

    def add(self, text: object) -> None:
        """Take more; what is no text counts as none."""
        if not isinstance(text, str) or not text:
            return
        self.characters += len(text)
        left = MAX_CHARACTERS - self.kept
        if left > 0:
            self.parts.append(text[:left])
            self.kept += len(self.parts[-1])

    @property
    def text(self) -> str:
        """What was kept."""
        # What JSON cannot say (lone surrogates) must not stop a message later.
        return "".join(self.parts).encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class CallText:
    """Both sides of a call whose usage the provider did not tell in full."""

    call_id: str
    asked: str
    asked_characters: int
    said: str
    said_characters: int
    turns: int = 0
    """Messages in the request: formats wrap each into a few tokens."""
    asked_tokens: int = 0
    """Of the request, what is in numbers of tokens in place of text."""
