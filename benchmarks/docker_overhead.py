"""Cases/s of the Docker sandbox against a bare loop of engine calls, in one run.

The reference does per case what no harness can leave out: create a container in a lane, attach,
start, send a line, read the answer, wait, remove. Same image, same agent, same parallelism, rounds
that alternate, so that a noisy machine hits both. The agent is three lines of shell: the harness is
what is measured, and not how fast Python starts.

    python benchmarks/docker_overhead.py [--cases N] [--rounds N] [--parallel 1,4]

The goal is a ratio of 0.85 or better.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker

from pacabench.events import AttemptFinished, Event, RunStarted
from pacabench.model import Outcome
from pacabench.run import RunRequest, start_run
from pacabench.scheduler import Stop
from pacabench.store import Selection

LABEL = "pacabench.benchmark"
AGENT = """#!/bin/sh
read -r line
echo '{"output": "yes"}'
"""
CONFIG = """\
name: overhead
config:
  concurrency: {parallel}
  max_retries: 0
  proxy: {{provider: scripted}}
agents: [{{name: shell, command: sh agent.sh}}]
datasets: [{{name: cases, source: cases.jsonl, evaluator: {{type: exact_match}}}}]
"""


def harness_rate(project: Path, parallel: int, cases: int) -> float:
    """Cases/s between the start of the first case and the last result on disk."""
    times: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            times.append(time.monotonic())
        elif isinstance(event, AttemptFinished):
            assert event.result.outcome is Outcome.PASSED, event.result
            times.append(time.monotonic())

    (project / "pacabench.yaml").write_text(CONFIG.format(parallel=parallel))
    request = RunRequest(project / "pacabench.yaml", selection=Selection(limit=cases))
    report = asyncio.run(start_run(request, accept_changes=False, listener=listen, stop=Stop()))
    assert report.summary.agents[0].passed == cases
    return cases / (times[-1] - times[0])


@contextmanager
def lanes(image: str, count: int) -> Iterator[list[str]]:
    """``count`` namespaces with nothing but loopback, each held by a container that sleeps."""
    client = docker.from_env()
    names = [f"pacabench-bare-{uuid.uuid4().hex[:12]}" for _ in range(count)]
    try:
        for name in names:
            client.containers.run(
                image, ["sleep", "3600"], name=name, network_mode="none", detach=True,
                init=True, labels={LABEL: "bare"},
            )  # fmt: skip
        yield names
    finally:
        for name in names:
            client.api.remove_container(name, force=True)
        client.close()


def bare_rate(image: str, parallel: int, cases: int) -> float:
    """Cases/s of the bare loop, ``parallel`` threads with a client and a lane each."""

    def work(lane: str, share: int) -> None:
        client = docker.APIClient()
        for _ in range(share):
            bare_case(client, image, lane)
        client.close()

    shares = [cases // parallel + (number < cases % parallel) for number in range(parallel)]
    with lanes(image, parallel) as names, ThreadPoolExecutor(parallel) as pool:
        started = time.monotonic()
        list(pool.map(work, names, shares))
        return cases / (time.monotonic() - started)


def bare_case(client: docker.APIClient, image: str, lane: str) -> None:
    """One container, one line in, one line out."""
    created = client.create_container(
        image,
        ["/bin/sh", "-c", 'read -r line; echo \'{"output": "yes"}\''],
        stdin_open=True,
        labels={LABEL: "bare"},
        host_config=client.create_host_config(
            network_mode=f"container:{lane}", log_config={"type": "none", "config": {}}
        ),
    )
    identity = created["Id"]
    attached = client.attach_socket(
        identity, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    )
    client.start(identity)
    attached._sock.sendall(b'{"input": "x"}\n')  # noqa: SLF001 - docker-py gives no other way
    answer = attached._sock.recv(4096)  # noqa: SLF001 - as above
    assert b'"yes"' in answer, answer
    client.wait(identity)
    attached.close()
    client.remove_container(identity)


def agent_image(project: Path) -> str:
    """The image that the agent of the last run was started from, by that run's manifest."""
    manifest = max((project / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    digest = json.loads(manifest.read_bytes())["sandbox"]["image_digests"]["shell"]
    return str(digest)


def main() -> None:
    """Print both rates and their ratio for each parallelism, as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", default="1,4")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "agent.sh").write_text(AGENT)
        rows = (
            json.dumps({"case_id": str(n), "input": "x", "expected": "yes"})
            for n in range(options.cases)
        )
        (project / "cases.jsonl").write_text("\n".join(rows))
        harness_rate(project, 1, 1)  # builds the images
        image = agent_image(project)
        for parallel in map(int, options.parallel.split(",")):
            pairs = [
                (
                    bare_rate(image, parallel, options.cases),
                    harness_rate(project, parallel, options.cases),
                )
                for _ in range(options.rounds)
            ]
            bare = statistics.median(pair[0] for pair in pairs)
            ours = statistics.median(pair[1] for pair in pairs)
            ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
            found.append({"parallel": parallel, "bare": bare, "pacabench": ours, "ratio": ratio})
            rates = f"bare {bare:6.2f}/s  pacabench {ours:6.2f}/s"
            print(f"{parallel:>3} parallel: {rates}  ratio {ratio:.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
