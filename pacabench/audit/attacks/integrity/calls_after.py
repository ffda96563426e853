"""Answers, and goes on asking the model, when no case is paid for any more."""

import json
import os
import threading
import time
import urllib.error
import urllib.request

from pacabench.audit.attacks.kit import Found, Given, found

_EVERY_S = 0.05
_FOR_S = 20
_statuses: list[int] = []


def attack(given: Given) -> Found:
    """The first case starts it; a later one asks what came of it."""
    if not given.get("tell"):
        threading.Thread(target=_go_on, daemon=True).start()
        return found(False, began=True)
    statuses = list(_statuses)
    return found(False, served=statuses.count(200), refused=len(statuses) - statuses.count(200))


def _go_on() -> None:
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    body = {"model": "m", "messages": [{"role": "user", "content": "more"}]}
    headers = {
        "Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
        "Content-Type": "application/json",
    }
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _FOR_S
    while time.monotonic() < end:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with opener.open(request, timeout=5) as reply:
                reply.read()
                _statuses.append(reply.status)
        except urllib.error.HTTPError as error:
            error.close()
            _statuses.append(error.code)
        except OSError:
            _statuses.append(0)
        time.sleep(_EVERY_S)
