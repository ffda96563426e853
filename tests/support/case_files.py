"""A benchmark whose cases come with files, and an agent that says what it finds of them."""

import json
from pathlib import Path

CONFIG = """\
name: files
config: {concurrency: 2, timeout_seconds: 60, max_retries: 0, proxy: {enabled: false}}
agents: [{name: a, command: python agent.py}]
datasets:
  - {name: plain, source: plain.jsonl}
  - name: filed
    source: filed.jsonl
    files: {columns: [names], directory: attached}
"""
AGENT = """\
import glob, json, os, sys

for line in sys.stdin:
    case = json.loads(line)
    found = [
        [os.path.basename(path), len(open(path, "rb").read()), oct(os.stat(path).st_mode & 0o777)]
        for path in case["files"]
    ]
    folder = os.path.dirname(case["files"][0]) if case["files"] else "/nonexistent"
    beside = sorted(os.listdir(folder)) if case["files"] else []
    strangers = glob.glob("**/attached/*", recursive=True)
    print(json.dumps({"output": {"found": found, "beside": beside, "strangers": strangers}}))
"""


def make_project(folder: Path) -> None:
    big = os_random(3 * 1024**2)
    contents = {"one.txt": b"1", "two.bin": b"\n0\n\x00" * 50, "big.bin": big}
    (folder / "attached").mkdir(parents=True)
    for name, content in contents.items():
        (folder / "attached" / name).write_bytes(content)
    rows = []
    for number, names in enumerate([["one.txt"], ["big.bin", "two.bin"], []]):
        found = [[name, len(contents[name]), "0o444"] for name in names]
        expected = {"found": found, "beside": sorted(names), "strangers": []}
        rows.append({"case_id": f"f{number}", "input": "q", "expected": expected, "names": names})
    nothing = {"found": [], "beside": [], "strangers": []}
    plain = [{"case_id": "p", "input": "q", "expected": nothing}]
    (folder / "filed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "plain.jsonl").write_text("\n".join(map(json.dumps, plain)))
    (folder / "agent.py").write_text(AGENT)
    (folder / "pacabench.yaml").write_text(CONFIG)


def os_random(size: int) -> bytes:
    """Bytes of every value, the same each time."""
    return bytes(range(256)) * (size // 256)
