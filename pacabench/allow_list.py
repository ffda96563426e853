"""``sandbox.egress.allow``: which hosts and ports of the web an agent may reach.

An entry is ``host:port``. A host is a full name, or ``*.`` before one: any name below it, at any
depth, and not the name itself. Names are compared in lower case, label by label, without a dot at
the end. Addresses are no hosts: TLS has no name for them that could be checked.

Standard library only and importing nothing of this package: the configuration checks entries with
it, and the sidecar what agents ask for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_RULES = 256
_MAX_NAME = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
"""Underscores stand in no host's name by the book, and in some that are."""
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PORTS = range(1, 65536)
_WILDCARD = "*."
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry."""

    name: str
    port: int
    below: bool
    """``*.name``: the names below ``name``, and not itself."""

    def allows(self, host: str, port: int) -> bool:
        """Whether ``host``, as :func:`normal_host` gives it, may be reached on ``port``."""
        if port != self.port:
            return False
        return host.endswith(f".{self.name}") if self.below else host == self.name

    def __str__(self) -> str:
        """As it is written."""
        return f"{_WILDCARD if self.below else ''}{self.name}:{self.port}"


def parse_rule(text: str) -> Rule:
    """The entry ``text``, in ASCII.

    Raises:
        ValueError: it is none; says what is wrong and what to write.
    """
    wanted = "write HOST:PORT, for example example.org:443 or *.example.org:443"
    if "://" in text or "/" in text:
        raise ValueError(f"{text!r} is a URL; {wanted}")
    if "@" in text or any(sign.isspace() for sign in text):
        raise ValueError(f"{text!r} is no host and port; {wanted}")
    host, colon, digits = text.rpartition(":")
    if text.count(":") > 1 or text.startswith("["):
        raise ValueError(f"{text!r} holds an address; {_NO_ADDRESS}")
    if not colon or not host:
        raise ValueError(f"{text!r} names no port; {wanted}")
    port = parse_port(digits)
    if port is None:
        raise ValueError(f"{text!r}: {digits!r} is no port between 1 and 65535")
    below = host.startswith(_WILDCARD)
    name = normal_host(host.removeprefix(_WILDCARD))
    if "*" in host.removeprefix(_WILDCARD):
        raise ValueError(f"{text!r}: `*` may only stand as `*.` before a name; {wanted}")
    if name is None:
        raise ValueError(f"{text!r}: {host!r} is no host name; {wanted}")
    if is_address(name):
        raise ValueError(f"{text!r} holds an address; {_NO_ADDRESS}")
    if "." not in name:
        what = f"{host!r} would open a whole domain" if below else f"{host!r} is no full name"
        raise ValueError(f"{text!r}: {what}; {wanted}")
    return Rule(name, port, below)


_NO_ADDRESS = "name the host instead: TLS cannot be checked against an address"


def parse_port(text: str) -> int | None:
    """``text`` as a port, None where it is none."""
    if not _PORT.fullmatch(text) or int(text) not in _PORTS:
        return None
    return int(text)


def normal_host(text: str) -> str | None:
    """``text`` in lower case and without a dot at its end; None where it is no host name.

    Internationalised names have to be in their ASCII form (``xn--...``).
    """
    name = text.lower().removesuffix(".")
    if not text.isascii() or not name or len(name) > _MAX_NAME:
        return None
    return name if all(_LABEL.fullmatch(label) for label in name.split(".")) else None


def is_address(name: str) -> bool:
    """Whether resolvers take ``name`` for an IPv4 address: ``127.1``, ``0x7f000001``, ...

    As in https://url.spec.whatwg.org/#ends-in-a-number-checker: the last label is a number.
    """
    return _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def find_rule(rules: Iterable[Rule], host: str, port: int) -> Rule | None:
    """The first of ``rules`` that allows ``host`` and ``port``."""
    return next((rule for rule in rules if rule.allows(host, port)), None)
