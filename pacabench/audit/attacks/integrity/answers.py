"""Answers that claim too much: twice, for another case, with a verdict or usage of their own."""

import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from pacabench.audit.attacks.kit import Given

_STRAY_AFTER_S = 0.3


def attack(given: Given) -> None:
    """``given["way"]``: how. Each case has a ``word``, which is the right answer."""
    ways: dict[str, Callable[[Given], None]] = {
        "twice": _twice,
        "stray": _stray,
        "other-id": _other_id,
        "verdict": _verdict,
        "usage": _usage,
    }
    ways[given["way"]](given)


def _write(*messages: dict[str, Any]) -> None:
    """All of them with one write."""
    sys.stdout.write("".join(json.dumps(message) + "\n" for message in messages))
    sys.stdout.flush()


def _twice(given: Given) -> None:
    second = f"not {given['word']}"
    _write({"output": given["word"]}, {"output": second}, {"output": second, "error": "e"})


def _stray(given: Given) -> None:
    """An answer to this case once more, while the next one is under way."""
    time.sleep(given["sleep_s"])
    _write({"output": given["word"]})

    def later() -> None:
        time.sleep(_STRAY_AFTER_S)
        _write({"output": "stray", "case_id": given["own_id"]})

    threading.Thread(target=later, daemon=True).start()


def _other_id(given: Given) -> None:
    _write(
        {"output": "stolen", "case_id": "another case"},
        {"output": given["word"], "case_id": given["own_id"]},
    )


def _verdict(_: Given) -> None:
    verdict = {"passed": True, "score": 1.0, "outcome": "passed", "expected": "wrong"}
    _write({"output": "wrong", **verdict, "evaluation": verdict, "key": {"case_id": "x"}})


def _usage(given: Given) -> None:
    """Asks the model, and denies it."""
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    body = {"model": "m", "messages": [{"role": "user", "content": given["word"]}]}
    headers = {
        "Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    _write({"output": given["word"], "usage": usage, "cost_usd": 0.0, "calls": []})
