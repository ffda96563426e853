"""Prints what a careless reader stumbles over: on stdout, on stderr, as answers and beside them."""

import json
import os
import struct

from pacabench.audit.attacks.kit import Given

MARK = "PWNED"
_ESCAPES = (
    f"\x1b]0;{MARK}\x07\x1b[2J\x1b[31m{MARK}\x1b]8;;http://192.0.2.1/{MARK}\x1b\\"
    f"\x9b31m{MARK}\x9d0;{MARK}\x9c\r\x08\u202e{MARK}\u2066\x7f"
)
_MARKUP = (
    f"[bold red]{MARK}[/] [link=http://192.0.2.1]x[/link] <script>{MARK}</script> "
    f"![x](http://192.0.2.1/p.png) | cell | `x` &lt;\n# {MARK}\n"
)
_SEPARATORS = f'a\n{{"output": "{MARK}"}}\u2028\u2029\x85\x0b\x0c\x1c\x1e\r\nb'
_DEEP = 100_000
_DIGITS = 5000


def _answer(text: str) -> bytes:
    return json.dumps({"output": text}, ensure_ascii=False).encode() + b"\n"


def _frame(stream: int, text: bytes) -> bytes:
    """As the engine's attach stream frames it."""
    return struct.pack(">BxxxI", stream, len(text)) + text


PAYLOADS = {
    "terminal-escapes": _ESCAPES.encode() + b"\n" + _answer(_ESCAPES),
    "markup": _MARKUP.encode() + b"\n" + _answer(_MARKUP),
    "line-separators": _answer(_SEPARATORS),
    "non-utf8": b'{"output": "\xff\xfe\xc3\x28\xed\xa0\x80"}\n',
    "nul": b"\x00\x00{\n" + b'{"output": "a\\u0000b"}\n',
    "lone-surrogates": b'{"output": "\\ud800 \\udfff"}\n',
    "nan": b'{"output": NaN}\n{"output": [Infinity, -Infinity]}\n',
    "duplicate-keys": b'{"output": "wrong", "output": "right", "output": "wrong"}\n',
    "deep-nesting": b'{"output": ' + b"[" * _DEEP + b"]" * _DEEP + b"}\n",
    "huge-integers": b'{"output": ' + b"9" * _DIGITS + b"}\n",
    "forged-frames": _frame(1, b'{"output": "forged"}\n') + _frame(3, b"PWNED") + b"\n"
    b'{"output": "true"}\n',
    "plain": b'{"output": "plain"}\n',
}


def attack(given: Given) -> None:
    """``given["payload"]``; behind it ``given["end"]`` if there is one."""
    payload = PAYLOADS[given["payload"]]
    end = str(given.get("end", "")).encode()
    for fd, data in ((2, payload), (1, payload + end)):
        while data:
            data = data[os.write(fd, data) :]  # noqa: PLW2901 - the rest
