"""Long engine calls that tell their progress: they can be cancelled, and cannot hang for ever."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import docker
import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from pacabench.errors import ImageError, SandboxError
from pacabench.sandbox.docker.engine import Engine

STALL_S = 900
"""Longest silence of a build or a pull. A silent compiler is silent for minutes, not for longer."""
TOTAL_S = 2 * 3600.0

Messages = Iterator[dict[str, Any]]


class _Wire:
    """The HTTP response under way, so that another thread can end it.

    The engine stops a build or a pull when its client hangs up.
    """

    def __init__(self) -> None:
        self._response: requests.Response | None = None
        self.cut = False

    def hold(self, response: requests.Response, **_: Any) -> None:
        self._response = response
        if self.cut:
            self.hang_up()

    def let_go(self) -> None:
        """The response was read to its end; its connection serves the next call."""
        self._response = None

    def hang_up(self) -> None:
        self.cut = True
        shutdown = getattr(getattr(self._response, "raw", None), "shutdown", None)
        if shutdown is not None:  # urllib3 2.3 and later; before it, the read time-out ends it
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                shutdown()


async def follow(
    engine: Engine,
    start: Callable[[docker.APIClient], Messages],
    handle: Callable[[dict[str, Any]], None],
    *,
    doing: str,
    total_s: float = TOTAL_S,
) -> None:
    """Start a streaming call and hand each of its messages to ``handle``, in the call's thread.

    ``start`` must give its request a read time-out (:data:`STALL_S`). A cancelled ``follow`` hangs
    up, which makes the engine stop.

    Raises:
        ImageError: no message for too long, or no end within ``total_s``.
        docker.errors.APIError: the engine refused; what it reports in messages is for ``handle``.
    """
    wire = _Wire()

    def work(client: docker.APIClient) -> None:
        hooks: list[Any] = client.hooks["response"]
        hooks.append(wire.hold)
        try:
            for message in start(client):
                if wire.cut:
                    return
                handle(message)
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise _worded(error, doing) from error
        except (requests.exceptions.ChunkedEncodingError, HTTPError) as error:
            raise _worded(error, doing) from error
        finally:
            hooks.remove(wire.hold)
            wire.let_go()

    try:
        await engine.call(work, timeout_s=total_s)
    except SandboxError as error:
        raise ImageError(f"{doing}: {error}") from error
    finally:
        wire.hang_up()


def _worded(error: Exception, doing: str) -> Exception:
    """A silence is told from a broken connection, which the engine's caller looks into."""
    cause = error.args[0] if error.args else None
    if isinstance(error, requests.exceptions.ReadTimeout | ReadTimeoutError) or isinstance(
        cause, ReadTimeoutError
    ):
        return ImageError(
            f"{doing}: no sign of progress for many minutes, so it was given up; "
            "look at the engine's log and at its way to the network"
        )
    return requests.exceptions.ConnectionError(str(error))
