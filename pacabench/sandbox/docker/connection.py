"""Which engine, and what its errors mean in words a user can act on."""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any

import docker
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException, ImageNotFound
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env, parse_host

from pacabench.errors import EngineUnreachableError, ImageError, PacabenchError, SandboxError
from pacabench.sandbox.docker.contexts import current_context, read_context

REQUEST_TIMEOUT_S = 60
"""docker-py's own limit on silence within one request."""

_UNIX = "http+unix://"
_NO_ADDRESSES = (
    "the engine has no addresses left for another network; `pacabench clean` removes what dead "
    "runs left, `docker network ls` shows the rest, default-address-pools in the engine's "
    "configuration makes room"
)
_ADVICE = {
    "no space left on device": (
        "the engine's disk is full; see `docker system df`, remove what you can spare"
    ),
    "address pools have been fully subnetted": _NO_ADDRESSES,  # since 25
    "non-overlapping ipv4 address pool": _NO_ADDRESSES,  # before
}


def connect(*, version: str | None = None) -> docker.APIClient:
    """A client for the engine that the user's ``docker`` command would use.

    ``DOCKER_HOST`` wins, then ``DOCKER_CONTEXT``, then the current context. ``version`` is that of
    the engine's API, asked for when not given.

    Raises:
        EngineUnreachableError: none answers.
    """
    try:
        where = kwargs_from_env() if os.environ.get("DOCKER_HOST") else _from_context()
        if version is None:
            with contextlib.closing(_client(where, DEFAULT_DOCKER_API_VERSION)) as client:
                version = str(client.version(api_version=False)["ApiVersion"])
        return _client(where, version)
    except (DockerException, OSError, ValueError, KeyError, TypeError) as error:
        # What is no engine answers with something else: all of requests' errors are OSErrors.
        raise EngineUnreachableError(unreachable(error)) from error


def _client(where: Mapping[str, Any], version: str) -> docker.APIClient:
    _knock(parse_host(where.get("base_url"), tls=bool(where.get("tls"))))
    client = docker.APIClient(
        **where,
        version=version,
        timeout=REQUEST_TIMEOUT_S,
        use_ssh_client=True,  # as `docker` does: the user's ssh configuration and agent
    )
    if where.get("tls"):
        client.trust_env = False  # else REQUESTS_CA_BUNDLE replaces the engine's own authority
    return client


def _knock(url: str) -> None:
    """Try a Unix socket first: docker-py forgets to close one that it cannot connect.

    Raises:
        OSError: nobody listens, or we may not.
    """
    if url.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(REQUEST_TIMEOUT_S)
            sock.connect(url.removeprefix(_UNIX))


def _from_context() -> dict[str, Any]:
    try:
        context = read_context(current_context())
    except ValueError as error:
        raise EngineUnreachableError(
            f"{error}; see `docker context ls`, then `docker context use`, "
            "or set DOCKER_CONTEXT or DOCKER_HOST"
        ) from error
    if context is None:
        return {}
    tls: TLSConfig | bool = False
    if context.tls is not None:
        own, key, ca = (context.tls / name for name in ("cert.pem", "key.pem", "ca.pem"))
        tls = TLSConfig(
            client_cert=(str(own), str(key)) if own.exists() and key.exists() else None,
            ca_cert=str(ca) if ca.exists() else None,
            verify=not context.skip_tls_verify,
        )
    return {"base_url": context.host, "tls": tls}


def unreachable(error: BaseException) -> str:
    """Why no engine answers, and what to do about it."""
    text = str(error)
    where = os.environ.get("DOCKER_HOST") or _context_host()
    if "paramiko" in text:
        return f"an engine behind ssh ({where}) needs one more package: pip install 'docker[ssh]'"
    if "Permission denied" in text or "PermissionError" in text:
        return (
            f"no permission on the Docker socket ({where}): add yourself to its group "
            "(`sudo usermod -aG docker $USER`, then log in again), or use rootless Docker"
        )
    return (
        f"no Docker Engine answers at {where}: start it (`sudo systemctl start docker`, or Docker "
        "Desktop), point DOCKER_HOST or `docker context use` at one, or run with "
        f"`--sandbox process` if you trust the agents ({text})"
    )


def _context_host() -> str:
    with contextlib.suppress(ValueError):
        context = read_context(current_context())
        if context is not None:
            return context.host
    return "the default socket"


def explain(error: APIError, doing: str) -> PacabenchError:
    """The error that ``doing`` failed with."""
    text = str(error.explanation or error)
    if isinstance(error, ImageNotFound) or "no such image" in text.lower():
        return ImageError(
            f"{doing}: {text}; it was removed while the run needed it: "
            "`pacabench images build` makes it again"
        )
    for part, advice in _ADVICE.items():
        if part in text.lower():
            return SandboxError(f"{doing}: {advice} ({text})")
    return SandboxError(f"{doing}: {text}")
