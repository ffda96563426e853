"""What agents leave in their work directory is judged by a program that never meets them."""

import json
import tarfile
from pathlib import Path

import pytest
from gsm8k import Harness

EVERY = ["process", pytest.param("docker", marks=pytest.mark.docker)]
CONFIG = """\
name: left
config: {{concurrency: 4, timeout_seconds: 60, max_retries: 0, proxy: {{enabled: false}}}}
agents: [{{name: a, source: agent, command: python agent.py}}]
datasets:
  - name: d
    source: rows.jsonl
    evaluator: {evaluator}
"""
EVALUATOR = '{type: command, source: judge, command: python judge.py, files: ["out", "*.txt"]}'
AGENT = """\
import json, os, sys, time
case = json.loads(sys.stdin.readline())
kind = case["input"]
os.makedirs("out/deep")
open("out/deep/answer.bin", "wb").write(kind.encode() + bytes(range(256)) * 1000)
open("note.txt", "w").write("note of " + case["case_id"])
mounts = [line.split() for line in open("/proc/mounts")]
options = [fields[3] for fields in mounts if fields[1] == os.getcwd()]
open("mounts.txt", "w").write(f"{os.getuid()} {' '.join(options)}")
open("scratch.log", "w").write("not wanted")
if kind == "hostile":
    os.symlink("/etc/passwd", "out/passwd")
    os.symlink("/etc", "out/etc")
    os.mkfifo("out/pipe")
    open("out/secret", "w").close()
    os.chmod("out/secret", 0)
    open("out/new\\nline", "w").close()
    with open("out/sparse", "wb") as file:
        file.truncate(200 * 1024**2)
    deep = "out"
    for _ in range(40):
        deep += "/d"
        os.mkdir(deep)
if kind == "nothing":
    for name in ("out/deep/answer.bin", "note.txt"):
        os.remove(name)
print(json.dumps({"output": kind}), flush=True)
if kind == "stays":
    time.sleep(600)
"""
JUDGE = """\
import json, os, sys
case = json.loads(sys.stdin.readline())
folder = case["files_directory"]
left = [path for path in case["files"] if not path.endswith(("/secret", "/mounts.txt"))]
found = {path[len(folder) + 1:]: open(path, "rb").read() for path in left}
whole = {} if case["output"] == "nothing" else {
    "note.txt": b"note of " + case["case_id"].encode(),
    "out/deep/answer.bin": case["output"].encode() + bytes(range(256)) * 1000,
}
modes = {oct(os.stat(path).st_mode & 0o777) for path in case["files"]}
beside = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
print(json.dumps({
    "code": case["code"],
    "passed": found == whole and modes <= {"0o444"} and sorted(beside) == sorted(case["files"])
        and not os.path.exists("agent.py") and open("files/note.txt").read() == "the judge's own",
    "reason": "|".join([*sorted(found), *case["files_left_out"]]),
}))
"""
WORSE = JUDGE.replace('"passed": found', '"passed": False and found')


def make_project(folder: Path) -> None:
    own = {"judge/judge.py": JUDGE, "judge/files/note.txt": "the judge's own"}
    for name, text in {"agent/agent.py": AGENT, **own}.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    kinds = ["ends", "stays", "hostile", "nothing"]
    rows = [{"case_id": f"c-{kind}", "input": kind, "expected": kind} for kind in kinds]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "pacabench.yaml").write_text(CONFIG.format(evaluator=EVALUATOR))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sandbox", EVERY)
def test_a_program_gets_what_the_agent_left_and_so_does_score(
    tmp_path: Path, cache_dir: Path, sandbox: str
) -> None:
    make_project(tmp_path)
    harness = Harness(tmp_path, cache_dir)
    code, output = harness.run("run", "--run-id", "proof", "--sandbox", sandbox)
    cases = {case["case_id"]: case for case in harness.export("proof")["cases"]}
    assert {case["outcome"] for case in cases.values()} == {"passed"}, (cases, output)
    assert code == 0
    lines = (tmp_path / "runs" / "proof" / "results.jsonl").read_text().splitlines()
    said = next(line for line in lines if '"c-hostile"' in line)
    for name in ("passwd", "etc", "pipe", "new?line", "sparse", "d/d: too deep"):
        assert name in said, said
    assert ("out/secret: Permission denied" in said) == (sandbox == "docker")
    hostile = cases["c-hostile"]
    assert [case["left_out"] for case in cases.values() if case is not hostile] == [[]] * 3
    assert "out/passwd: no regular file" in hostile["left_out"]
    assert (tmp_path / "runs" / "proof" / hostile["left"]).is_file()
    _, shown = harness.run("show", "proof", "--case", "c-hostile")
    assert hostile["left"] in shown.decode()
    assert "not taken out: out/passwd: no regular file" in shown.decode()
    assert output.count(b"of what the agent left") == 1
    left = tmp_path / "runs" / "proof" / "left"
    tars = sorted(left.iterdir())
    assert len(tars) == 4
    for tar in tars:
        with tarfile.open(tar) as archive:
            names = {entry.name.removeprefix("files/") for entry in archive}
            mounts = archive.extractfile("files/mounts.txt")
            assert mounts is not None
            uid, *options = mounts.read().decode().split()
        assert names <= {"left.json", "note.txt", "mounts.txt", "out/deep/answer.bin", "out/secret"}
        if sandbox == "docker":  # as tight as the tmpfs that it stands in for
            assert options[0].startswith("rw,nosuid,nodev,")
            bounds = f"size=262144k,nr_inodes=65536,mode=700,uid={uid},gid={uid}"
            assert bounds in options[0]
    # In the process sandbox the agent worked beside its source, not in it.
    assert [path.name for path in (tmp_path / "agent").iterdir()] == ["agent.py"]

    (tmp_path / "judge" / "judge.py").write_text(WORSE)
    code, output = harness.run("score", "proof", "--name", "worse", "--json")
    assert code == 0, output
    (agent,) = json.loads(output[output.index(b"{") :])["agents"]
    assert len(agent["to_failed"]) == 4
    if sandbox == "docker":  # what follows is of no sandbox, and takes a while
        return
    other = '{type: command, source: judge, command: python judge.py, files: ["**"]}'
    code, output = harness.run("score", "proof", "--name", "other", "--evaluator", other)
    assert code != 0, output
    kept = b"".join(path.read_bytes() for path in (tmp_path / "runs/proof/scores").glob("other*"))
    assert b"**: not looked for in this run, which kept out, *.txt" in kept


def test_a_worker_leaves_no_files(tmp_path: Path, cache_dir: Path) -> None:
    make_project(tmp_path)
    config = tmp_path / "pacabench.yaml"
    config.write_text(config.read_text() + "sandbox: {isolation: worker}\n")
    code, output = Harness(tmp_path, cache_dir).run("run", "--sandbox", "process")
    assert code == 1
    assert b"does not go together with `files` of the evaluator of 'd'" in output
