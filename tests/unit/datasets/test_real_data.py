"""GSM8K, all of it, is the same data set in every format and from every kind of source."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub import open_hub

from pacabench.datasets.base import Dataset

Open = Callable[..., Dataset]
MAPPED = {"input_map": {"input": "question", "expected": "answer"}}


@pytest.fixture
def rows(shared_data: Path) -> list[dict[str, Any]]:
    lines = (shared_data / "gsm8k" / "test.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_is_the_same_wherever_it_comes_from(
    rows: list[dict[str, Any]], open_set: Open, tmp_path: Path, shared_data: Path
) -> None:
    project = tmp_path / "project"
    first = open_set(str(shared_data / "gsm8k" / "test.jsonl"), **MAPPED)
    assert len(first.cases) == 1319

    (project / "d.json").write_text(json.dumps(rows))
    with (project / "d.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["question", "answer"])
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), project / "d.parquet")
    for place in (0, 1):
        half = rows[place * 660 : (place + 1) * 660]
        (project / f"part-{place}.jsonl").write_text("\n".join(map(json.dumps, half)))
    (project / "rows.py").write_text(
        "import json, pathlib\n"
        "FILE = pathlib.Path(__file__).with_name('d.json')\n"
        "def make(): yield from json.loads(FILE.read_text())\n"
    )
    there = tmp_path / "there"
    there.mkdir()
    (there / "d.csv").write_bytes((project / "d.csv").read_bytes())
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=there, check=True)

    sources = ["d.json", "d.csv", "d.parquet", "part-*.jsonl", "python:rows:make", "git:../there"]
    digests = {source: open_set(source, **MAPPED).digest for source in sources}
    with open_hub() as hub:
        hub.push("openai/gsm8k", {"main/test-0.parquet": (project / "d.parquet").read_bytes()})
        environ = {"HF_ENDPOINT": hub.url}
        named = {"config": "main", "split": "test"}
        fetched = open_set("huggingface:openai/gsm8k", environ=environ, **named, **MAPPED)
        digests["huggingface"] = fetched.digest

    assert digests == dict.fromkeys(digests, first.digest)
