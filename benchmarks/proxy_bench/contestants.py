"""What is compared: no proxy, a bare relay, PacaBench's own proxy, and LiteLLM's.

Each is one process that serves on the loopback, all of them on the same core.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from proxy_bench.litellm_venv import MASTER_KEY, NO_WAY_OUT, config_for
from proxy_bench.processes import BenchError, first_line, running
from proxy_bench.sidecar import OwnProxy, open_own_proxy

HERE = Path(__file__).parent
REAL_KEY = "sk-real-0123456789abcdef"
_UP_WITHIN_S = 120


@dataclass(eq=False)
class Contestant:
    """Something that answers chat completions."""

    name: str
    port: int
    key: str = REAL_KEY
    process: subprocess.Popen[bytes] | None = None
    """None: the provider itself."""
    own: OwnProxy | None = field(default=None, repr=False)
    """Only PacaBench's own: what it wrote down."""

    @property
    def pid(self) -> int | None:
        """The process that is measured."""
        return None if self.process is None else self.process.pid

    def pause(self) -> None:
        """Take no time from the others."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It is its turn."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def open_provider(core: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The fake provider and its port."""
    with running([sys.executable, str(HERE / "upstream.py")], core) as process:
        yield process, int(first_line(process, "the fake provider"))


@contextmanager
def open_bare(core: int, provider: int) -> Iterator[Contestant]:
    """The bare relay."""
    command = [sys.executable, str(HERE / "bare_relay.py"), str(provider)]
    with running(command, core) as process:
        yield Contestant("bare relay", int(first_line(process, "the bare relay")), process=process)


@contextmanager
def open_own(core: int, provider: int, folder: Path) -> Iterator[Contestant]:
    """PacaBench's proxy as it runs in the sidecar, on a lane's socket."""
    with open_own_proxy(core, f"http://127.0.0.1:{provider}/v1", REAL_KEY, folder) as own:
        yield Contestant("pacabench", own.port, own.key, own.process, own)


@contextmanager
def open_litellm(
    core: int, provider: int, folder: Path, python: Path, port: int
) -> Iterator[Contestant]:
    """LiteLLM's proxy: one worker, no database, no telemetry, and no way out of this machine."""
    config = folder / "litellm.json"
    config.write_text(json.dumps(config_for(f"http://127.0.0.1:{provider}/v1", REAL_KEY)))
    log = (folder / "litellm.log").open("wb")
    command = [
        *(str(python.parent / "litellm"), "--config", str(config)),
        *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        *("--telemetry", "False"),
    ]
    with log, running(command, core, env=NO_WAY_OUT, output=log.fileno(), errors=log) as process:
        found = Contestant("LiteLLM", port, MASTER_KEY, process)
        wait_until_healthy(found, {"model": "plain", "messages": []}, log.name)
        yield found


def wait_until_healthy(contestant: Contestant, body: Mapping[str, object], log: str) -> None:
    """Wait for a first good answer.

    Raises:
        BenchError: none came.
    """
    assert contestant.process is not None
    deadline = time.monotonic() + _UP_WITHIN_S
    request = urllib.request.Request(
        f"http://127.0.0.1:{contestant.port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {contestant.key}", "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    said = ""
    while time.monotonic() < deadline and contestant.process.poll() is None:
        try:
            opener.open(request, timeout=30).read()
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")[:500]
        except OSError as error:
            said = str(error)
        else:
            return
        time.sleep(0.2)
    with suppress(OSError):
        said += "\n" + Path(log).read_text()[-2000:]
    raise BenchError(f"{contestant.name} does not answer: {said}")
