"""A project whose data set is prepared in a container, for tests on a real engine."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import docker

from pacabench.config.load import load_config
from pacabench.datasets.base import Dataset
from pacabench.events import Event, Notice
from pacabench.judged_data import load_data

CONFIG = """\
name: x
config: {{cache_directory: cache}}
agents: [{{name: a, command: c}}]
datasets:
  - {{name: {name}, source: {source}, prepare: {prepare}{more}}}
"""
MAKE = r"""import json, os, socket, sys
path = os.environ["PACABENCH_DATASET_PATH"]
raw = open("raw/words.txt").read().split()
reached = []
try:
    socket.create_connection(("172.17.0.1", 22), 2)
    reached.append("host")
except OSError as error:
    reached.append(error.errno)
with open("/proc/self/status") as status:
    told = ("CapEff", "NoNewPrivs", "Seccomp:")
    rights = [line.split()[1] for line in status if line.startswith(told)]
seen = sorted(name for name in os.listdir(".") if not name.startswith("cache"))
os.makedirs(os.path.dirname(path), exist_ok=True)
os.makedirs("beside", exist_ok=True)
open("beside/picture", "w").write("from inside")
print("making", len(raw), "rows \x1b[31m", flush=True)
with open(path, "w") as rows:
    for word in raw:
        facts = {"input": word, "uid": os.getuid(), "reached": reached, "rights": rights,
                 "seen": seen, "secret": os.environ.get("SECRET"), "f": "picture"}
        rows.write(json.dumps(facts) + "\n")
os.symlink("/etc/passwd", "beside/link")
"""
SECRET = "the-users-own-key"


class Project:
    """Makes rows of words; what is told goes to ``said``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.name = f"d-{secrets.token_hex(4)}"
        self.began = asyncio.Event()
        (folder / "raw").mkdir()
        (folder / "raw" / "words.txt").write_text("one two\n")
        (folder / "make.py").write_text(MAKE)
        (folder / ".env").write_text(f"SECRET={SECRET}\n")

    def load(
        self,
        prepare: Any = "python make.py",
        source: str = "data/x.jsonl",
        more: str = "",
        *,
        allow_weak: bool = False,
    ) -> Dataset:
        """The data set, prepared where it has to be."""
        text = CONFIG.format(name=self.name, source=source, prepare=json.dumps(prepare), more=more)
        (self.folder / "pacabench.yaml").write_text(text)
        return asyncio.run(self.load_here(allow_weak=allow_weak))

    async def load_here(self, *, allow_weak: bool = False) -> Dataset:
        """As its file says by now."""
        loaded = load_config(self.folder / "pacabench.yaml", environ={})
        (item,) = loaded.config.datasets
        return await load_data(
            item, loaded, self._hear, lambda _: None, revision=None, allow_weak=allow_weak
        )

    def _hear(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.said.append(event.text)
            if event.text.endswith("prepare: began"):
                self.began.set()

    def ran(self) -> int:
        """How often the command was run."""
        return sum("prepare runs in a container" in text for text in self.said)


def left(project: Project) -> list[str]:
    """Containers and volumes of the project's prepares."""
    client = docker.from_env(timeout=60)
    try:
        wanted = {"label": f"pacabench.run=prepare of {project.name}"}
        volumes = client.api.volumes(filters=wanted).get("Volumes") or ()
        return [
            *(item["Id"] for item in client.api.containers(all=True, filters=wanted)),
            *(item["Name"] for item in volumes),
        ]
    finally:
        client.close()
