"""Docker contexts, as the ``docker`` command keeps them.

docker-py has its own reader, which finds none where there is no ``config.json``. The layout is that
of docker/cli, ``cli/context/store``: ``contexts/meta/<sha256 of the name>/meta.json`` and
``contexts/tls/<same>/docker/{ca,cert,key}.pem`` below ``$DOCKER_CONFIG`` or ``~/.docker``.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Context:
    """Where an engine is, and how to be let in."""

    name: str
    host: str
    skip_tls_verify: bool
    tls: Path | None
    """Directory with ``ca.pem``, ``cert.pem`` and ``key.pem``, those of them that there are."""


def current_context() -> str:
    """The name of the context in use: ``DOCKER_CONTEXT``, else the one that was chosen."""
    named = os.environ.get("DOCKER_CONTEXT")
    if named:
        return named
    try:
        config = json.loads((_folder() / "config.json").read_text(encoding="utf-8"))
        return str(config.get("currentContext") or DEFAULT)
    except (OSError, ValueError, AttributeError):
        return DEFAULT


def read_context(name: str) -> Context | None:
    """The context ``name``; None for the default one, which is the local socket.

    Raises:
        ValueError: there is no such context, or it is damaged; says which.
    """
    if name == DEFAULT:
        return None
    key = hashlib.sha256(name.encode()).hexdigest()
    path = _folder() / "contexts" / "meta" / key / "meta.json"
    try:
        endpoint = json.loads(path.read_text(encoding="utf-8"))["Endpoints"]["docker"]
        host, skip = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
    except OSError:
        raise ValueError(f"there is no docker context {name!r}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"docker context {name!r} is damaged ({path}: {error!r})") from error
    tls = _folder() / "contexts" / "tls" / key / "docker"
    return Context(name, host, skip, tls if tls.is_dir() else None)


def _folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
