"""The harmless case that follows each attack: does its work, and looks whether all is as it was."""

import json
import os
import socket
import urllib.request
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given

_LISTENING = "0A"


def attack(given: Given) -> Found:
    """Ask the model once; tell what it said and what this container looks like."""
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    key = os.environ["OPENAI_API_KEY"]
    body = {"model": "m", "messages": [{"role": "user", "content": given["ask"]}]}
    request = urllib.request.Request(  # noqa: S310 - the lane's own address
        url,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as reply:
        said = json.load(reply)["choices"][0]["message"]["content"]
    return {
        "broke": False,
        "missing": None,
        "evidence": {
            "said": said,
            "key": key,
            "listening": _listeners(),
            "abstract": [line for line in _lines("/proc/net/unix") if "@" in line],
            "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),  # noqa: PTH208
            "files": [*map(str, Path().iterdir()), *map(str, Path("/tmp").iterdir())],  # noqa: S108
            "interfaces": [name for _, name in socket.if_nameindex()],
        },
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="ascii", errors="replace").splitlines()[1:]


def _listeners() -> list[str]:
    """Of this lane: local addresses as the kernel writes them."""
    rows = [line.split() for path in ("/proc/net/tcp", "/proc/net/tcp6") for line in _lines(path)]
    return sorted(row[1] for row in rows if row[3] == _LISTENING)
