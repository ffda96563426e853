"""Does a long run leave anything behind? Counts and memory while 1,000 cases run in containers.

The command runs as a user's does, and is looked at from outside every ``--every`` cases: the run's
containers, volumes and networks on the engine; file descriptors, threads and memory of the harness;
file descriptors and memory of the sidecar; the engine's own file descriptors. Each agent makes one
call through the proxy. What is kept per case on purpose has an allowance: a result stays in the
harness's memory for the summary.

    python benchmarks/leaks.py [--cases N] [--every N] [--parallel N] [--alone] [--json]

Each figure is held against its growth after warm-up (the Theil-Sen slope: outliers do not move it,
and other work on the machine makes some). Ends with 1 where something grows, with 2 where the run
itself did not go as it should.

``--alone`` says that nothing else uses the engine: then its own descriptors have to be flat too.
The sidecar and the engine are looked at where they are processes of this machine that may be seen.
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
import psutil

CONFIG = """\
name: leaks
config:
  concurrency: {parallel}
  timeout_seconds: 120
  cache_directory: {cache}
  proxy: {{provider: scripted}}
agents: [{{name: caller, command: python3 -I -S agent.py, source: agent}}]
datasets: [{{name: cases, source: cases.jsonl, evaluator: {{type: exact_match}}}}]
"""
AGENT = """\
import os, socket, sys

sys.stdin.readline()
body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}'
head = (
    "POST /v1/chat/completions HTTP/1.1\\r\\nHost: proxy\\r\\nConnection: close\\r\\n"
    f"Authorization: Bearer {os.environ['OPENAI_API_KEY']}\\r\\n"
    f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
)
with socket.create_connection(("127.0.0.1", 8080), timeout=60) as proxy:
    proxy.sendall(head.encode() + body)
    reply = b""
    while data := proxy.recv(65536):
        reply += data
print('{"output": "yes"}' if b" 200 " in reply[:20] else '{"output": "no"}', flush=True)
"""
WARM_UP_SHARE = 0.25
"""Of the cases: imports, connections, lanes and pools come into being."""
SHORT_CASES = 300
READINGS = 5
READ_EVERY_S = 0.05
_ENDS_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Figure:
    """What is counted, and by how much it may grow."""

    name: str
    unit: str
    allowed: float
    """Over the whole run: what comes and goes with the cases that are under way."""
    allowed_per_case: float = 0.0
    """What is kept of each case on purpose."""
    filling: float = 0.0
    """More in a short run: the engine's threads and their connections come as they are needed."""


ENGINE_FDS = "engine fds"
FIGURES = (
    Figure("containers", "", 2),
    Figure("volumes", "", 0.5),
    Figure("networks", "", 0.5),
    Figure("harness fds", "", 3, filling=20),
    Figure("harness threads", "", 2, filling=14),
    Figure("harness memory", "MB", 4, 0.004),
    Figure("sidecar fds", "", 3),
    Figure("sidecar memory", "MB", 4, 0.001),
    Figure(ENGINE_FDS, "", 12),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """All figures once."""

    cases: int
    values: Mapping[str, float]
    """By the figure's name; those that cannot be seen are missing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one figure is flat."""

    name: str
    growth: float
    """From the end of the warm-up to the last sample, by the slope."""
    allowed: float

    @property
    def flat(self) -> bool:
        """It does not grow by more than it may."""
        return self.growth <= self.allowed


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil 1950, Sen 1968)."""
    pairs = itertools.combinations(points, 2)
    return statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs)


def judge(samples: Sequence[Sample], *, alone: bool) -> list[Verdict]:
    """One verdict for each figure that was seen, on what came after the warm-up.

    Of the engine's own only where the run was ``alone`` on it: others' containers take some too.
    """
    last = samples[-1].cases
    settled = [sample for sample in samples if sample.cases >= WARM_UP_SHARE * last]
    verdicts = []
    for figure in FIGURES:
        if figure.name == ENGINE_FDS and not alone:
            continue
        points = [
            (float(sample.cases), sample.values[figure.name])
            for sample in settled
            if figure.name in sample.values
        ]
        if len(points) >= 3:
            cases = points[-1][0] - points[0][0]
            allowed = figure.allowed + figure.allowed_per_case * cases
            allowed += figure.filling if last < SHORT_CASES else 0
            verdicts.append(Verdict(figure.name, slope(points) * cases, allowed))
    return verdicts


class Lookout:
    """Reads the figures of one run."""

    def __init__(self, harness: int, run_id: str) -> None:
        self._harness = psutil.Process(harness)
        self._run_id = run_id
        self._client = docker.from_env(timeout=60).api
        self._engine = engine_process(self._client.base_url)

    def close(self) -> None:
        """Let go of the engine."""
        self._client.close()

    def sample(self, cases: int) -> Sample:
        """The median of a few readings: cases begin and end meanwhile."""
        readings = []
        for _ in range(READINGS):
            readings.append(self._read())
            time.sleep(READ_EVERY_S)
        names = set.intersection(*(set(reading) for reading in readings))
        medians = {name: statistics.median(each[name] for each in readings) for name in names}
        return Sample(cases, medians)

    def left(self) -> dict[str, int]:
        """What the engine has of the run."""
        wanted = {"label": [f"pacabench.run={self._run_id}"]}
        return {
            "containers": len(self._client.containers(all=True, filters=wanted)),
            "volumes": len(self._client.volumes(filters=wanted).get("Volumes") or ()),
            "networks": len(self._client.networks(filters=wanted)),
        }

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = {**self.left()}
        with contextlib.suppress(psutil.Error):
            found["harness fds"] = self._harness.num_fds()
            found["harness threads"] = self._harness.num_threads()
            found["harness memory"] = self._harness.memory_info().rss / 1e6
        with contextlib.suppress(psutil.Error):
            sidecar = self._sidecar()
            if sidecar:
                found["sidecar fds"] = sum(process.num_fds() for process in sidecar)
                found["sidecar memory"] = sum(each.memory_info().rss for each in sidecar) / 1e6
        with contextlib.suppress(psutil.Error):
            if self._engine is not None:
                found[ENGINE_FDS] = self._engine.num_fds()
        return found

    def _sidecar(self) -> list[psutil.Process]:
        """Its processes; none where the engine counts its own (a virtual machine)."""
        wanted = {"label": [f"pacabench.run={self._run_id}", "pacabench.role=sidecar"]}
        found = self._client.containers(filters=wanted)
        if not found:
            return []
        pid = self._client.inspect_container(found[0]["Id"])["State"]["Pid"]
        try:
            if found[0]["Id"] not in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"):
                return []
        except OSError:
            return []
        init = psutil.Process(pid)
        return [init, *init.children(recursive=True)]


def engine_process(base_url: str) -> psutil.Process | None:
    """Who listens on the engine's socket, where that is a process of this machine."""
    if "localhost" not in base_url and "unix" not in base_url:
        return None
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    size = struct.calcsize("3i")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            # As unix(7) has it: pid, uid and gid of whoever called listen().
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        process = psutil.Process(struct.unpack("3i", peer)[0])
        process.num_fds()
    except (OSError, psutil.Error):
        return None
    return process


def write_project(folder: Path, *, cases: int, parallel: int, cache: Path) -> None:
    """A benchmark whose cases take as little as a case in a container can."""
    (folder / "agent").mkdir()
    (folder / "agent" / "agent.py").write_text(AGENT, encoding="utf-8")
    config = CONFIG.format(parallel=parallel, cache=cache)
    (folder / "pacabench.yaml").write_text(config, encoding="utf-8")
    rows = (json.dumps({"case_id": f"c{n}", "input": "x", "expected": "yes"}) for n in range(cases))
    (folder / "cases.jsonl").write_text("\n".join(rows), encoding="utf-8")


@contextlib.contextmanager
def harness(folder: Path, run_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """``pacabench run`` in a process of its own, ended with this one's block."""
    command = [sys.executable, "-m", "pacabench", "run", "-q", "--run-id", run_id]
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(command, cwd=folder, stdout=said, stderr=said) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.terminate()
                process.wait(timeout=_ENDS_WITHIN_S)


def count_lines(path: Path, known: int, offset: int) -> tuple[int, int]:
    """Lines of a file that grows, and how far it was read."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return known, offset
    return known + data.count(b"\n"), offset + len(data)


def watch(
    folder: Path, run_id: str, process: subprocess.Popen[bytes], *, every: int, until: int
) -> list[Sample]:
    """Samples while the run goes on, one each time that ``every`` further cases have ended.

    The last one at ``until`` cases: then lanes run empty, and the harness closes down.
    """
    lookout = Lookout(process.pid, run_id)
    samples: list[Sample] = []
    done = offset = 0
    results = folder / "runs" / run_id / "results.jsonl"
    try:
        while process.poll() is None:
            done, offset = count_lines(results, done, offset)
            if every * (len(samples) + 1) <= done <= until:
                samples.append(lookout.sample(done))
                show(samples[-1])
            time.sleep(0.05)
        left = lookout.left()
    finally:
        lookout.close()
    if process.returncode != 0 or any(left.values()):
        said = (folder / "said").read_text(encoding="utf-8", errors="replace")
        print(f"{said}\nthe run ended with {process.returncode} and left {left}", file=sys.stderr)
        sys.exit(2)
    return samples


def show(sample: Sample) -> None:
    """One row of the table."""
    cells = (shown(sample.values.get(figure.name), figure) for figure in FIGURES)
    print(f"| {sample.cases} | {' | '.join(cells)} |", flush=True)


def shown(value: float | None, figure: Figure) -> str:
    """A figure in the table; a dash where it cannot be seen."""
    if value is None:
        return "-"
    return f"{value:.1f}" if figure.unit else f"{value:.0f}"


def show_head() -> None:
    """The first two rows of the table."""
    names = (f"{it.name}{f', {it.unit}' if it.unit else ''}" for it in FIGURES)
    print(f"| cases | {' | '.join(names)} |\n|{'---|' * (len(FIGURES) + 1)}", flush=True)


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """The last two rows: growth after warm-up, and what is allowed."""
    for title, attribute in (("growth", "growth"), ("allowed", "allowed")):
        by_name = {verdict.name: getattr(verdict, attribute) for verdict in verdicts}
        cells = (f"{by_name[it.name]:+.1f}" if it.name in by_name else "-" for it in FIGURES)
        print(f"| {title} | {' | '.join(cells)} |")
    for verdict in verdicts:
        if not verdict.flat:
            print(f"LEAK: {verdict.name} grew by {verdict.growth:.1f}")


def main() -> int:
    """Print a row per sample and the verdicts; the exit code says whether all is flat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--cache", type=Path, help="for images' parts; default: a temporary one")
    parser.add_argument("--alone", action="store_true", help="nothing else uses the engine")
    parser.add_argument("--json", action="store_true", help="print all as JSON besides")
    options = parser.parse_args()
    run_id = f"leaks-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = options.cache.absolute() if options.cache is not None else folder / "cache"
        write_project(folder, cases=options.cases, parallel=options.parallel, cache=cache)
        show_head()
        with harness(folder, run_id) as process:
            until = options.cases - 2 * options.parallel
            samples = watch(folder, run_id, process, every=options.every, until=until)
    if len(samples) < 4:
        sys.exit(f"{len(samples)} samples tell nothing: more cases, or --every less")
    verdicts = judge(samples, alone=options.alone)
    show_verdicts(verdicts)
    if options.json:
        body = {"samples": list(map(asdict, samples)), "verdicts": list(map(asdict, verdicts))}
        print(json.dumps(body))
    return 0 if all(verdict.flat for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
