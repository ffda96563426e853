"""The engine that runs are on: this machine's, or a private one that can be killed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import psutil

_READY_WITHIN_S = 60.0
_POOL = "base=10.213.0.0/16,size=24"
_CONTAINERD = """\
version = 2
root = "{path}/containerd/root"
state = "{path}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{path}/containerd.sock"
[ttrpc]
  address = "{path}/containerd.sock.ttrpc"
"""


class Engine:
    """An engine as the driver sees it: what of a run is there, and which process it is."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url
        self.namespace_of: int | None = None
        """A process in whose network its containers' host network is; None: this one's."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead the command to it."""
        return {} if self.url is None else {"DOCKER_HOST": self.url}

    @contextmanager
    def client(self) -> Iterator[docker.APIClient]:
        """A client for one question."""
        made = docker.APIClient(base_url=self.url, version="auto", timeout=60)
        try:
            yield made
        finally:
            made.close()

    def running(self, run_id: str, role: str) -> list[str]:
        """Ids of the containers of a run that have this role and run."""
        labels = {"label": [f"pacabench.run={run_id}", f"pacabench.role={role}"]}
        with self.client() as client:
            found = client.containers(filters={**labels, "status": "running"})
        return sorted(item["Id"] for item in found)

    def kill_container(self, container: str) -> bool:
        """SIGKILL to a container's process, by its id and not by the engine. False: it was gone."""
        with self.client() as client:
            try:
                state: dict[str, Any] = client.inspect_container(container)["State"]
            except docker.errors.NotFound:
                return False
        if not state["Running"] or not state["Pid"]:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(state["Pid"], signal.SIGKILL)
            return True
        return False

    def left(self, run_id: str) -> list[str]:
        """Everything on it that carries a run's label."""
        wanted = {"label": [f"pacabench.run={run_id}"]}
        with self.client() as client:
            containers = client.containers(all=True, filters=wanted)
            volumes = client.volumes(filters=wanted).get("Volumes") or ()
            networks = client.networks(filters=wanted)
        roles = [
            f"container {item['Labels']['pacabench.role']} ({item['State']})" for item in containers
        ]
        return [*roles, *("volume" for _ in volumes), *("network" for _ in networks)]


class PrivateEngine(Engine):
    """A ``dockerd`` of its own, in network and mount namespaces of its own.

    Its containerd is a process beside it, as on a machine with systemd: the kernel would end a
    containerd that dockerd had started together with it, and containers never outlived it.
    """

    def __init__(self, path: Path, *, live_restore: bool) -> None:
        super().__init__(f"unix://{path}/docker.sock")
        self._path = path
        self._live_restore = live_restore
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def open(self) -> None:
        """Make the namespaces and start it."""
        (self._path / "daemon.json").write_text("{}")  # the machine's own is none of its business
        (self._path / "containerd.toml").write_text(_CONTAINERD.format(path=self._path))
        hold = "ip link set lo up && echo && exec sleep infinity"
        command = ["unshare", "--net", "--mount", "sh", "-c", hold]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._processes["namespaces"] = holder
        assert holder.stdout is not None
        holder.stdout.readline()
        self.namespace_of = holder.pid
        self._spawn("containerd", "--config", str(self._path / "containerd.toml"))
        self._await((self._path / "containerd.sock").exists)
        self.start()

    def start(self) -> None:
        """Start dockerd and wait until it answers."""
        path = self._path
        self._spawn(
            "dockerd",
            f"--config-file={path}/daemon.json",
            f"--containerd={path}/containerd.sock",
            f"--host={self.url}",
            f"--data-root={path}/data",
            f"--exec-root={path}/exec",
            f"--pidfile={path}/docker.pid",
            "--storage-driver=fuse-overlayfs",
            "--iptables=false",
            "--ip6tables=false",
            f"--default-address-pool={_POOL}",
            f"--live-restore={str(self._live_restore).lower()}",
        )
        self._await(self._answers)

    def kill(self) -> None:
        """SIGKILL to dockerd alone: containers go on without it."""
        process = self._processes["dockerd"]
        process.kill()
        process.wait()

    def load(self, images: Path) -> None:
        """Load what ``docker save`` wrote."""
        environ = {**os.environ, **self.environment}
        command = ["docker", "load", "--quiet", "-i", images]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        """End it with all its containers; the namespaces take its mounts along."""
        if (dockerd := self._processes.get("dockerd")) is not None and dockerd.poll() is None:
            with contextlib.suppress(docker.errors.DockerException), self.client() as client:
                for item in client.containers(all=True):
                    client.remove_container(item["Id"], force=True, v=True)
        for name in ("dockerd", "containerd", "namespaces"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._end_forgotten()

    def _end_forgotten(self) -> None:
        """End containers that dockerd knows nothing of: it was killed while it started them."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(f"{self._path}/" in word for word in process.cmdline()):
                    for one in [*process.children(recursive=True), process]:
                        with contextlib.suppress(psutil.Error):  # one may end with another
                            one.kill()

    def _spawn(self, name: str, *arguments: str) -> None:
        within = ["nsenter", "--target", str(self.namespace_of), "--net", "--mount"]
        with (self._path / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*within, name, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as knock:  # docker-py leaves one open that fails
                knock.connect(f"{self._path}/docker.sock")
            with self.client() as client:
                client.ping()
        except (OSError, docker.errors.DockerException):
            return False
        return True

    def _await(self, condition: Any) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the private engine does not start; see {self._path}/*.log")
            time.sleep(0.1)


@contextmanager
def open_private_engine(path: Path, *, live_restore: bool) -> Iterator[PrivateEngine]:
    """A private engine in the directory ``path``, which has to be short: it holds sockets."""
    engine = PrivateEngine(path, live_restore=live_restore)
    try:
        engine.open()
        yield engine
    finally:
        engine.close()


def cannot_be_made() -> str | None:
    """Why this machine can have no private engine, or None."""
    needed = ("dockerd", "containerd", "unshare", "nsenter", "ip", "fuse-overlayfs")
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        return f"a private engine needs {', '.join(missing)}"
    return None if os.geteuid() == 0 else "only root can start a private engine"


def save_images(project: Path, environ: Mapping[str, str], into: Path) -> None:
    """Write the images that the benchmark in ``project`` needs to a file, with their names."""
    build = [sys.executable, "-m", "pacabench", "images", "build"]
    built = subprocess.run(build, cwd=project, env=environ, stdout=subprocess.PIPE, check=True)
    ids = [line.split()[-1] for line in built.stdout.decode().splitlines()]
    with Engine().client() as client:
        found = [client.inspect_image(image)["RepoTags"] for image in ids]
        found += [image["RepoTags"] for image in client.images(name="pacabench/base")]
    names = [tags[0] for tags in found if tags]
    subprocess.run(["docker", "save", "-o", into, *names], check=True)
