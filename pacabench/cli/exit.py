"""How the command ends: exit codes, and errors as one message on stderr.

This is the only place that turns an exception into an exit code. ``docs/cli.md`` lists the codes.
"""

import asyncio
import contextlib
import io
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pacabench import __version__
from pacabench.errors import PacabenchError, UsageError
from pacabench.report.printable import printable_block


class ExitCode(IntEnum):
    """What the shell sees."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    INFRASTRUCTURE = 3
    """The run ended, and some cases have an infrastructure outcome."""
    GATE = 4
    """``--fail-under`` or ``--fail-on-regression`` did not hold."""
    BUDGET = 5
    """The run ended before its end, because a budget is spent."""
    INTERRUPTED = 130


def run_guarded(command: Callable[[], object]) -> int:
    """Run ``command`` and return the exit code, with one message on stderr for what it raised.

    Typer answers a wrong option by ``SystemExit(2)``; that goes through here as its code.
    """
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except PacabenchError as error:
        say_error("\n".join([str(error), *getattr(error, "__notes__", ())]))
        return ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.ERROR
    except (KeyboardInterrupt, asyncio.CancelledError):
        return ExitCode.INTERRUPTED
    except OSError as error:
        say_error(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        return ExitCode.ERROR
    except Exception as error:  # noqa: BLE001 - the outermost frame: a bug is worded here or nowhere
        say_bug(error)
        return ExitCode.ERROR
    return ExitCode.DONE


_STDERR = 2


def prepare_output() -> None:
    """Escape what an encoding lacks, and lone surrogates, in place of failing on it.

    A standard stream that is closed becomes the null device, before some file gets its number.
    """
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(nowhere)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            null = Path(os.devnull).open("r+", encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, null)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def end_output() -> None:
    """Flush what was written; a reader who has left already is no error.

    Without this the interpreter would complain of the broken pipe while it shuts down.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())


def say_error(message: str) -> None:
    """Write ``message`` to stderr after ``error:``. Lines stay, control characters are escaped."""
    _say(Text("error: ", style="bold red"), message)


def say_warning(message: str) -> None:
    """Write ``message`` to stderr after ``warning:``."""
    _say(Text("warning: ", style="bold yellow"), message)


def say_bug(error: BaseException) -> None:
    """Name a file with the traceback in place of showing it: nobody can read it off a screen.

    A traceback holds no values of variables, so no keys. The file is readable by its owner only.
    """
    kind = type(error).__name__
    try:
        where = f"The traceback is in {_keep_traceback(error)}; please report it."
    except OSError as problem:  # the disk that is full may be what the bug was about
        told = "".join(traceback.format_exception(error))
        where = f"The traceback could not be kept ({problem}); please report it:\n{told}"
    say_error(
        f"{kind}: {error}\nThis is a bug in PacaBench. {where} "
        "Results that were finished are on disk: `pacabench resume` goes on."
    )


def _keep_traceback(error: BaseException) -> str:
    """The file that it is in.

    Raises:
        OSError: there is no room for it.
    """
    handle, path = tempfile.mkstemp(prefix="pacabench-crash-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"pacabench {__version__}, Python {platform.python_version()}, ")
        file.write(f"{platform.platform()}\n{sys.argv[1:]}\n\n")
        file.writelines(traceback.format_exception(error))
    return path


def _say(prefix: Text, message: str) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone: there is nobody to tell
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            prefix + Text(printable_block(message))
        )
