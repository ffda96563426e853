"""One process of the real command, with what it says of the steps that it passes."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from faults.kills import Kill
from faults.steps import Step

ENTRY = ("-m", "faults.entry")


@dataclass(frozen=True, slots=True)
class Stopped:
    """It stands still at a step until :meth:`Session.go_on`."""

    step: Step
    container: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The process has closed its pipe: it ended."""


class Session:
    """A started command. Its news go into ``news``; what is merely noted, into its sets."""

    def __init__(
        self,
        arguments: list[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path,
        first: Kill | None,
    ) -> None:
        self.news: queue.SimpleQueue[Stopped | Gone] = queue.SimpleQueue()
        self.bound: dict[str, set[str]] = {}
        """Container id to ids of the attempts that were made in it."""
        self.reported: dict[str, str] = {}
        """Attempt id to the outcome that was said to be on disk."""
        self.log = log
        orders_out, orders = os.pipe()
        news, news_in = os.pipe()
        self._orders = os.fdopen(orders, "w", encoding="utf-8")
        self._news = os.fdopen(news, "r", encoding="utf-8")
        self.go_on(first)
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, *ENTRY, *arguments],
                cwd=cwd,
                env={**environ, "FAULTS_PIPES": f"{orders_out},{news_in}"},
                pass_fds=[orders_out, news_in],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        os.close(orders_out)
        os.close(news_in)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def go_on(self, then: Kill | None) -> None:
        """Let it go on to the step of ``then``."""
        step = "" if then is None or then.step in {None, Step.AT_PROVIDER} else then.step
        with contextlib.suppress(BrokenPipeError):  # it ended meanwhile, which its news say
            self._orders.write(f"{step}\t{then.nth if then is not None else 0}\n")
            self._orders.flush()

    def kill(self) -> None:
        """SIGKILL, and nothing of it is left but what it started."""
        self.process.send_signal(signal.SIGKILL)

    def show_where(self) -> None:
        """Have it write into its log where its threads are."""
        self.process.send_signal(signal.SIGUSR1)

    def wait(self) -> int:
        """Its exit code; all that it said is noted then."""
        code = self.process.wait(60)
        self._reader.join()
        self._news.close()
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        return code

    def _read(self) -> None:
        for line in self._news:
            kind, *words = line.rstrip("\n").split("\t")
            if kind == "stopped":
                self.news.put(Stopped(Step(words[0]), words[1]))
            elif kind == "bound":
                self.bound.setdefault(words[0], set()).add(words[1])
            elif kind == "reported":
                self.reported[words[0]] = words[1]
        self.news.put(Gone())
