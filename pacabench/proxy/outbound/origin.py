"""Where a provider is, as connections to it are told apart."""

import base64
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from yarl import URL

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Gate:
    """A forward proxy that connections go through."""

    host: str
    port: int
    login: str | None = field(repr=False)
    """The value of ``Proxy-Authorization``."""

    @classmethod
    def of(cls, url: str) -> Self:
        """The proxy at ``url``: ``http://[USER[:PASSWORD]@]HOST[:PORT]``."""
        parts = urlsplit(url)
        login = None
        if parts.username is not None:
            words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            login = f"Basic {base64.b64encode(words.encode()).decode()}"
        return cls(parts.hostname or "", parts.port or _PORTS["http"], login)


@dataclass(frozen=True, slots=True)
class Origin:
    """A server, and the way to it. Equal ones share their connections."""

    host: str
    """Without brackets; names in the form that DNS knows."""
    port: int
    tls: bool
    gate: Gate | None = None

    @classmethod
    def of(cls, base_url: str, forward_proxy: str | None = None) -> Self:
        """The server of ``base_url``, which ``normalise_base_url`` made."""
        url = URL(base_url, encoded=True)
        gate = None if forward_proxy is None else Gate.of(forward_proxy)
        port = url.port or _PORTS[url.scheme]
        return cls(url.raw_host or "", port, url.scheme == "https", gate)

    @property
    def authority(self) -> str:
        """``HOST:PORT`` as a URL writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def named(self) -> str:
        """What ``Host`` says: the authority, without a port that goes without saying."""
        usual = self.port == _PORTS["https" if self.tls else "http"]
        return self.authority.rpartition(":")[0] if usual else self.authority
