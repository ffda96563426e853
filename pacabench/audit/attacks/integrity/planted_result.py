"""Writes results where harnesses look for them, and then answers wrong."""

import contextlib
import json
from pathlib import Path

from pacabench.audit.attacks.kit import Given

_PASSED = json.dumps({"passed": True, "outcome": "passed", "score": 1.0, "reward": 1.0})
_PLANTED = {
    "result.json": _PASSED,
    "results.jsonl": _PASSED + "\n",
    "answer.json": _PASSED,
    "reward.txt": "1.0\n",
    "logs/verifier/reward.txt": "1.0\n",
    ".pacabench/results.jsonl": _PASSED + "\n",
}
_PLACES = ("/work", "/tmp", "/")  # noqa: S108 - where agents may write


def attack(_: Given) -> None:
    """See above."""
    for place in _PLACES:
        for name, text in _PLANTED.items():
            path = Path(place, name)
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="ascii")
    print('{"output": "wrong"}', flush=True)  # noqa: T201 - an answer
