"""Installs requirements for an image on the host: containers may have no way to an index.

pip runs as the user's own, with their configuration, certificates and cache. It only unpacks
wheels: nothing that came from an index is executed on the host.
"""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
from collections import deque
from pathlib import Path

import orjson

from pacabench.aio import finish
from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.host_pip import REFUSAL
from pacabench.sandbox.docker.images.lock import content_lock
from pacabench.sandbox.docker.images.output import Narrator, quote
from pacabench.sandbox.docker.images.platforms import Interpreter, pip_target_arguments
from pacabench.sandbox.docker.images.resources import content_key

_TOTAL_S = 3600.0
_LAYOUT = "1"
"""Changes when what is done to an installed tree changes."""
_KEPT_LINES = 400
_ELSEWHERE = frozenset({"PIP_PREFIX", "PIP_PYTHON", "PIP_ROOT", "PIP_TARGET"})
_UNAVAILABLE = re.compile(r"No matching distribution found for (.+)")
_NETWORK = re.compile(r"Retrying \(|Could not fetch URL|SSLError|ProxyError|NewConnectionError")
_RUNNER = Path(__file__).with_name("host_pip.py")


class NoWheelError(ImageError):
    """A requirement has no wheel for the image's platform; it would have to be built."""


async def install_wheels(
    requirements: Path,
    content: str,
    interpreter: Interpreter,
    *,
    cache_dir: Path,
    narrator: Narrator,
) -> Path:
    """A directory with ``requirements`` installed for ``interpreter``, made once per ``content``.

    ``content`` stands for the file and all that it includes. Two runs at once make it once; a
    killed one leaves nothing that another would take for whole.

    Raises:
        NoWheelError: something has no wheel that fits.
        ImageError: pip failed for another reason; quotes its output.
    """
    key = content_key(_LAYOUT, content, interpreter.tag)
    place = cache_dir / "wheels" / key
    if place.is_dir():
        return place
    async with content_lock(cache_dir, key):
        if place.is_dir():
            return place
        fresh = place.with_name(f".{key}.{secrets.token_hex(4)}")
        await asyncio.to_thread(_sweep, place)
        try:
            fresh.mkdir(parents=True)
            await _run_pip(requirements, fresh, interpreter, narrator)
            await asyncio.to_thread(repair_scripts, fresh / "bin")
            fresh.rename(place)
        finally:
            await finish(asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True))
    return place


def _sweep(place: Path) -> None:
    """Remove what a killed run left; whoever holds the lock is the only maker."""
    for stale in place.parent.glob(f".{place.name}.*"):
        shutil.rmtree(stale, ignore_errors=True)


def pip_command(requirements: Path, target: Path, interpreter: Interpreter) -> list[str]:
    """The command line that installs ``requirements`` into ``target``."""
    return [
        sys.executable,
        "-P",
        str(_RUNNER),
        orjson.dumps(dict(interpreter.markers)).decode(),
        "install",
        "--no-input",
        "--no-color",
        "--progress-bar=off",
        "--disable-pip-version-check",
        "--no-user",
        "--no-compile",
        "--no-warn-conflicts",
        "--root-user-action=ignore",
        f"--target={target}",
        *pip_target_arguments(interpreter),
        f"--requirement={requirements}",
    ]


async def _run_pip(
    requirements: Path, target: Path, interpreter: Interpreter, narrator: Narrator
) -> None:
    process = await asyncio.create_subprocess_exec(
        *pip_command(requirements, target, interpreter),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=requirements.parent,
        env=_environment(),
        start_new_session=True,
    )
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        async with asyncio.timeout(_TOTAL_S):
            assert process.stdout is not None
            while raw := await _line(process.stdout):
                text = raw.decode("utf-8", "replace")
                lines.append(text)
                narrator.output(text)
            status = await process.wait()
    except TimeoutError as error:
        raise ImageError(
            f"pip was not done with {requirements} after {_TOTAL_S / 60:.0f} minutes\n"
            f"{quote(narrator.tail)}"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await finish(process.wait())
    if status != 0:
        raise _failure(requirements, "".join(lines), interpreter, narrator)


def _environment() -> dict[str, str]:
    """The user's own, without what sends an installation elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return {**kept, "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONUNBUFFERED": "1"}


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or a part of one that is longer than the buffer."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)


def _failure(
    requirements: Path, said: str, interpreter: Interpreter, narrator: Narrator
) -> ImageError:
    unavailable = _UNAVAILABLE.search(said)
    tail = quote(narrator.tail)
    if REFUSAL in said:
        return NoWheelError(
            f"{requirements}: something in it is no wheel and would have to be built\n{tail}"
        )
    if unavailable is not None and not _NETWORK.search(said):
        return NoWheelError(
            f"{requirements}: there is no wheel of {unavailable[1].strip()} for "
            f"{interpreter.tag}\n{tail}"
        )
    return ImageError(f"{requirements}: pip cannot install it for {interpreter.tag}\n{tail}")


def repair_scripts(folder: Path) -> None:
    """Let console scripts find the image's interpreter: pip wrote this machine's into them."""
    if not folder.is_dir():
        return
    for script in folder.iterdir():
        if not script.is_file() or script.is_symlink():
            continue
        with script.open("rb") as file:
            if file.read(2) != b"#!":
                continue
        script.write_bytes(with_portable_shebang(script.read_bytes()))


def with_portable_shebang(text: bytes) -> bytes:
    """``text`` with an interpreter of this machine in its first line replaced by the PATH's.

    pip writes ``#!/path/python``, or, where the path is long or has spaces, a line for ``/bin/sh``
    and two that are shell and Python at once.
    """
    first, _, rest = text.partition(b"\n")
    if rest.startswith(b"'''exec'"):
        rest = rest.partition(b"\n")[2].partition(b"\n")[2]
    elif b"python" not in first:
        return text
    return b"#!/usr/bin/env python3\n" + rest
