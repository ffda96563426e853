"""Durations come from the monotonic clock: a suspended laptop or a set clock changes none."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pacabench"
TELLS_WHEN = {
    "attempt.py": "when an attempt began, for people and for the record",
    "cli/images.py": "how old an image is; the engine says when it was made",
    "price_list.py": "which price holds today",
    "proxy/http/reply.py": "the Date of a reply",
    "proxy/patience.py": "Retry-After may be a date",
    "proxy/record.py": "when a call began, for the record",
    "proxy/web/record.py": "when a way out began, for the record",
    "proxy/scripted.py": "the `created` of a reply",
    "proxy/sigv4.py": "the date in a signature",
    "sandbox/docker/leftovers.py": "how old another machine's leftovers are",
    "sandbox/docker/service.py": "the head of a log",
    "store/manifest.py": "when a session began and ended",
    "store/names.py": "a run's id",
    "testing/reply.py": "the `created` of a reply",
}
"""Modules that may look at the clock on the wall, and what for."""
WALL_CLOCK = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow")}


def wall_clocks(file: Path) -> list[int]:
    """Lines that read the wall clock."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in WALL_CLOCK
    ]


def test_the_wall_clock_only_says_when_something_was() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix(): lines
        for file in PACKAGE.rglob("*.py")
        if "attacks" not in file.parts and (lines := wall_clocks(file))
    }
    unknown = {name: lines for name, lines in found.items() if name not in TELLS_WHEN}
    assert unknown == {}, "time.monotonic() measures; add it here if it only tells when"
    assert sorted(found) == sorted(TELLS_WHEN), "no module here that needs no mention"
