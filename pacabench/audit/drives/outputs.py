"""What comes of hostile output: in the whole command, and in a harness that reads naively."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pacabench.audit.attack import Alter, Attack, ControlDrive, Drive, Observation
from pacabench.audit.bench import Bench
from pacabench.audit.drives.hostile import (
    AGENT,
    HOSTILE_IDS,
    PAYLOAD,
    PAYLOADS,
    HostileRun,
    hostile_run,
)
from pacabench.audit.drives.talk import open_talk, remark
from pacabench.config.load import load_config
from pacabench.errors import ConfigError
from pacabench.model import JSON, Outcome
from pacabench.sandbox.docker.framing import STDOUT, FrameReader

NAIVE = "a reader that decodes, parses, stores and prints what comes"
STAND_IN = "naive code for the same bytes of a real container, in place of another harness"
_RAW = (b"\x1b]0;", b"\x1b]8", b"\x1b[2JPWNED", b"\x07", b"\xc2\x9b", b"\xc2\x9d", b"\xe2\x80\xae")
_END = "-- end --\n"
_READ_WITHIN_S = 20.0
_NAME_BYTES = 100
"""Of our own file names."""

Check = Callable[[HostileRun], Mapping[str, JSON]]
"""What is wrong with the run, by name; nothing where all is well."""


def in_the_run(check: Check) -> Drive:
    """Look at the run of the whole command."""

    async def drive(bench: Bench, _: Attack, __: Alter | None) -> Observation:
        run = await hostile_run(bench.ground)
        wrong = {**check(run)}
        if not run.plain_is_right:
            wrong["plain"] = "the harmless cases did not get their answers"
        return remark(bool(wrong), wrong=wrong)

    return drive


def ends_as(name: str, outcome: Outcome, output: JSON = None) -> Check:
    """Its outcome and the answer that was taken, if one is right."""

    def check(run: HostileRun) -> Mapping[str, JSON]:
        result = run.results.get(name)
        if result is None:
            return {"missing": f"case {name} has no result"}
        if result.outcome is not outcome or (output is not None and result.output != output):
            return {"result": [result.outcome.value, str(result.output)[:200]]}
        return {}

    return check


def shown_plainly(run: HostileRun) -> Mapping[str, JSON]:
    """No character that a terminal obeys came through, while it ran or in any view."""
    raw = [text.hex() for text in _RAW if text in run.screen]
    obeyed = {
        name: sorted({hex(ord(char)) for char in text if not (char.isprintable() or char == "\n")})
        for name, text in run.views.items()
    }
    obeyed = {name: chars for name, chars in obeyed.items() if chars}
    return {**({"screen": raw} if raw else {}), **({"views": obeyed} if obeyed else {})}


def no_markup(run: HostileRun) -> Mapping[str, JSON]:
    """Nothing of it is markup in the Markdown export, and rich's markup is not obeyed."""
    markdown = run.views["markdown"]
    alive = [text for text in ("<script>", "![x](", "\n# PWNED", "<b>") if text in markdown]
    eaten = [] if "[bold red]" in run.views["case"] + run.views["failures"] else ["[bold red]"]
    return {"alive": alive, "eaten": eaten} if alive or eaten else {}


def journal_is_whole(run: HostileRun) -> Mapping[str, JSON]:
    """One line for each result, and every one can be read back."""
    if run.journal_lines != len(run.results):
        return {"lines": run.journal_lines, "results": len(run.results)}
    return {}


def json_is_strict(run: HostileRun) -> Mapping[str, JSON]:
    """The JSON export is what the standard calls JSON."""

    def refuse(name: str) -> JSON:
        raise ValueError(name)

    try:
        json.loads(run.views["json"], parse_constant=refuse)
    except ValueError as error:
        return {"json": str(error)}
    return {}


def stays_inside(run: HostileRun) -> Mapping[str, JSON]:
    """Nothing was written outside the run's directory, and nothing is named by somebody else."""
    odd = [
        ascii(name)
        for name in run.names
        if not name.isascii() or not name.isprintable() or len(name) > _NAME_BYTES
    ]
    return {"strays": list(run.strays), "names": odd} if run.strays or odd else {}


def all_of(*checks: Check) -> Check:
    """Every one of them."""
    return lambda run: {name: what for check in checks for name, what in check(run).items()}


async def agent_names(bench: Bench, attack: Attack, alter: Alter | None) -> Observation:
    """The run's agent has a telling name; longer and wilder ones are refused by the reader."""
    seen = await in_the_run(all_of(stays_inside, no_markup))(bench, attack, alter)
    taken = [ascii(name[:20]) for name in ("x" * 300, "a\x1b]0;PWNED\x07", "a\nb") if _taken(name)]
    return remark(bool(seen.extra["broke"] or taken), wrong=seen.extra["wrong"], taken=taken)


def _taken(name: str) -> bool:
    config = {
        "name": "x",
        "agents": [{"name": name, "command": "true"}],
        "datasets": [{"name": "d", "source": "d.jsonl"}],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pacabench.yaml")
        path.write_text(json.dumps(config), encoding="utf-8")
        try:
            load_config(path)
        except ConfigError:
            return False
    return True


Stumble = Callable[[bytes], bool]
"""Whether a naive reader stumbles over the output of a container."""


def naively(name: str) -> ControlDrive:
    """The payload ``name`` from a real container, for a naive reader."""

    async def drive(bench: Bench, _: Attack) -> Observation:
        outputs = await bench.ground.shared.once("raw outputs", lambda: _raw_outputs(bench))
        return remark(STUMBLES[name](outputs[name]), came_bytes=len(outputs[name]))

    return drive


async def _raw_outputs(bench: Bench) -> dict[str, bytes]:
    """What a real container prints for each payload."""
    outputs = {}
    async with open_talk(bench, {"payload": PAYLOAD}) as talk:
        for name in PAYLOADS:
            lines = []
            await talk.send("payload", {"payload": name, "end": _END})
            async with asyncio.timeout(_READ_WITHIN_S):
                while (line := await talk.session.read_line()) not in {_END.strip().encode(), None}:
                    assert line is not None
                    lines.append(line)
            outputs[name] = b"\n".join(lines) + b"\n"
    return outputs


def _answer_in(output: bytes) -> JSON:
    for line in output.decode().split("\n"):
        if line.startswith("{"):
            return json.loads(line)["output"]
    return None


def _crashes(output: bytes) -> bool:
    """Decoding, parsing, storing and printing one of them, without a thought of failure."""
    try:
        json.dumps(_answer_in(output), ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # UnicodeError is one
        return True
    return False


def _prints_raw(output: bytes) -> bool:
    text = str(_answer_in(output))
    return "\x1b]0;" in text and "\u202e" in text


def _prints_markup(output: bytes) -> bool:
    row = f"| case | {_answer_in(output)} |"
    return "<script>" in row and "\n# " in row


def _prints_nul(output: bytes) -> bool:
    return "\0" in str(_answer_in(output))


def _stores_more_lines(output: bytes) -> bool:
    """A journal of JSON lines that is read with ``str.splitlines``."""
    line = json.dumps({"output": _answer_in(output)}, ensure_ascii=False)
    return len(line.splitlines()) > 1


def _stores_no_json(output: bytes) -> bool:
    return json.dumps(_answer_in(output)) == "NaN"


def _two_readers_disagree(output: bytes) -> bool:
    """A line that is kept as it is and read again by another parser, which takes the first key."""
    line = next(line for line in output.decode().split("\n") if line.startswith("{"))
    first = json.loads(line, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    inner = json.loads(line, object_pairs_hook=lambda pairs: dict(pairs[:2]))
    return bool(first["output"] != inner["output"])


def _believes_frames(output: bytes) -> bool:
    """With a terminal there are no frames, and what the agent prints would be taken for them."""
    begin = output[: output.index(b"\n") + 1]
    return any(
        stream == STDOUT and b"forged" in bytes(piece)
        for stream, piece in FrameReader().feed(begin)
    )


STUMBLES: Mapping[str, Stumble] = {
    "terminal-escapes": _prints_raw,
    "markup": _prints_markup,
    "line-separators": _stores_more_lines,
    "non-utf8": _crashes,
    "nul": _prints_nul,
    "lone-surrogates": _crashes,
    "nan": _stores_no_json,
    "duplicate-keys": _two_readers_disagree,
    "deep-nesting": _crashes,
    "huge-integers": _crashes,
    "forged-frames": _believes_frames,
}


def named_naively(*names: str) -> ControlDrive:
    """A harness that names a file after the case, and prints its name."""

    async def drive(_: Bench, __: Attack) -> Observation:
        return remark(all(_escapes(name) for name in names), names=[name[:40] for name in names])

    return drive


def _escapes(name: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder, "a", "b", "c", "runs")
        run_dir.mkdir(parents=True)
        path = run_dir / f"{name}.json"
        if path.is_absolute() and not path.is_relative_to(folder):
            return True  # is not tried
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}", encoding="utf-8")
        except (OSError, ValueError):
            return True  # the case is lost
        return not path.resolve().is_relative_to(run_dir) or not name.isprintable()


AGENT_NAMES = (AGENT, "x" * 300)
IDS = HOSTILE_IDS
