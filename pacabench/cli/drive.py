"""Drives one run from a command: event loop, progress, signals, and what is said at the end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from pacabench.cli.ending import conclude, say_interrupted
from pacabench.cli.exit import ExitCode
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import LogFormat
from pacabench.cli.progress import Progress, open_progress
from pacabench.cli.signals import stop_on_signals
from pacabench.errors import PacabenchError
from pacabench.events import Listener, Notice
from pacabench.job import RunReport
from pacabench.scheduler import Stop
from pacabench.standstill import StandstillLoop

WORTH_A_WORD_S = 3.0
"""Of a standstill."""
Work: TypeAlias = Callable[[Listener, Stop], Coroutine[Any, Any, RunReport]]
"""One of ``run.start_run``, ``resume_run``, ``retry_run`` with all else bound."""
NameOf: TypeAlias = Callable[[str], str]
"""What to call a run, given its id, in commands that this shell can run."""


def drive(
    work: Work,
    *,
    name_of: NameOf,
    quiet: bool,
    log_format: LogFormat,
    fail_under: float | None = None,
) -> ExitCode:
    """Run ``work`` to its end, show it, and return the exit code.

    Raises:
        PacabenchError: as ``work`` does; with a note on how to go on when the run had begun.
    """
    configure_logs(log_format)
    with asyncio.Runner(loop_factory=StandstillLoop) as runner:
        report = runner.run(_drive(work, name_of, quiet=quiet, log_format=log_format))
    if report is None:
        return ExitCode.INTERRUPTED
    return conclude(report, quiet=quiet, log_format=log_format, fail_under=fail_under)


async def _drive(
    work: Work, name_of: NameOf, *, quiet: bool, log_format: LogFormat
) -> RunReport | None:
    async with open_progress(quiet=quiet, log_format=log_format) as progress:
        report = await _until_done(work, name_of, progress)
    if report is None:
        run_id = progress.tally.run_id
        say_interrupted(name_of(run_id) if run_id else None)
    return report


def _tell_of_standstills(listener: Listener) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StandstillLoop)

    def tell(late_s: float) -> None:
        if late_s >= WORTH_A_WORD_S:
            text = (
                f"the harness stood still for {late_s:.0f} s (suspended, or the machine was "
                "overloaded); that counts for no timeout, but durations of cases that ran "
                "meanwhile are too long"
            )
            loop.call_soon(listener, Notice("warning", text))

    loop.clock.on_standstill = tell


async def _until_done(work: Work, name_of: NameOf, progress: Progress) -> RunReport | None:
    """The report, or None when the second signal cut the run off."""
    stop = Stop()
    _tell_of_standstills(progress)
    task = asyncio.create_task(work(progress, stop))
    with stop_on_signals(task, stop, progress.signalled):
        try:
            return await task
        except asyncio.CancelledError:
            return None
        except PacabenchError as error:
            if run_id := progress.tally.run_id:
                error.add_note(f"What was finished is on disk: pacabench resume {name_of(run_id)}")
            raise
