"""Attacks on what the machine has: processes, memory, files, CPU time, the harness's patience."""

from pacabench.audit import limits
from pacabench.audit.attack import Attack, Control, Group, noted, stopped_by_memory
from pacabench.audit.bench import LIMITS
from pacabench.audit.drives import boxes, floods, late, left, stubborn

_LIMIT = "the engine does not apply the limit (see `docker info` for its warnings)"
_HARNESS = "a defect of PacaBench: report it with this table"
_MEMORY = {"memory_bytes": LIMITS.memory, "try_bytes": limits.TRY_MEMORY}
_TMP = {"tmp_bytes": LIMITS.tmp_size, "try_bytes": limits.TRY_TMP}
_ENDLESS = 1 << 40
_SAMPLE = 128 * 1024**2
_NAIVE = f"a bounded flood of {_SAMPLE >> 20} MiB"


def _memory(name: str, title: str, tried: str) -> Attack:
    return Attack(
        id=f"resources.memory-{name}",
        group=Group.RESOURCES,
        title=title,
        tried=tried,
        expected="the kernel stops it at the agent's memory limit, swap included",
        remedy=f"agents can take more memory than they may: {_LIMIT}",
        control=Control(limits.MORE_MEMORY),
        judge=stopped_by_memory,
        given=_MEMORY,
    )


def _flood(name: str, title: str, tried: str, *, stream: str, shape: str, size: int) -> Attack:
    return Attack(
        id=f"resources.{name}",
        group=Group.RESOURCES,
        title=title,
        tried=tried,
        expected="all of it is read and little is kept, here and by the engine",
        remedy=f"output fills memory or disk: {_HARNESS}",
        control=Control(
            drive=floods.kept_whole,
            removed=floods.NAIVE_READER,
            given={"flood_bytes": _SAMPLE},
            stand_in=_NAIVE,
        ),
        judge=noted,
        drive=floods.read_flood,
        program="resources/flood.py",
        given={"stream": stream, "shape": shape, "flood_bytes": size},
        timeout_s=1.5 if size == _ENDLESS else 25.0,
    )


RESOURCES: tuple[Attack, ...] = (
    Attack(
        id="resources.fork-bomb",
        group=Group.RESOURCES,
        title="Fork bomb",
        tried="processes that fork, whose children fork",
        expected="fork() fails at the agent's limit of processes",
        remedy=f"agents can start more processes than they may: {_LIMIT}",
        control=Control(limits.MORE_PROCESSES, stand_in="bounded by a wider limit and by itself"),
        given={"pids": LIMITS.pids},
    ),
    Attack(
        id="resources.threads",
        group=Group.RESOURCES,
        title="Threads",
        tried="very many threads, which are processes to the kernel",
        expected="no more can be started at the agent's limit of processes",
        remedy=f"agents can start more threads than they may: {_LIMIT}",
        control=Control(limits.MORE_PROCESSES, stand_in="bounded by a wider limit and by itself"),
        given={"pids": LIMITS.pids},
    ),
    _memory("anonymous", "Memory", "plain memory, written to"),
    _memory("files", "Memory in nameless files", "memfd files, each small"),
    _memory("shared", "Shared memory", "System V segments, /dev/shm, shared mappings"),
    _memory("sockets", "Memory of the kernel", "sockets filled with data that nobody reads"),
    Attack(
        id="resources.tmpfs-bytes",
        group=Group.RESOURCES,
        title="Filling /tmp and the work directory",
        tried="files larger than they may be",
        expected="both are full at `sandbox.tmp_size`",
        remedy=f"agents can fill more than they may: {_LIMIT}",
        control=Control(limits.WIDE_TMPFS),
        given=_TMP,
    ),
    Attack(
        id="resources.tmpfs-inodes",
        group=Group.RESOURCES,
        title="Empty files",
        tried="thousands of empty files in /tmp and the work directory",
        expected="there is an end of them at one per 4 KiB of `sandbox.tmp_size`",
        remedy=f"agents can make any number of files: {_LIMIT}",
        control=Control(limits.WIDE_TMPFS),
        given={"tmp_files": limits.TMP_FILES, "try_files": limits.TRY_FILES},
    ),
    Attack(
        id="resources.image-volume",
        group=Group.RESOURCES,
        title="An image's VOLUME",
        tried="writing to a directory that the agent's image declares as a VOLUME",
        expected="a bounded tmpfs lies over it, and no volume is made",
        remedy="an image's VOLUME is disk of the engine's machine: report it with this table",
        control=Control(limits.BARE_VOLUME),
        drive=boxes.with_volume,
        given=_TMP,
    ),
    Attack(
        id="resources.cpu-hog",
        group=Group.RESOURCES,
        title="CPU time",
        tried="eight processes that compute all the time",
        expected="together they get what `sandbox.cpus` says",
        remedy=f"agents get more CPU time than they may: {_LIMIT}",
        control=Control(limits.MORE_CPUS),
        drive=boxes.with_little_cpu,
        given={"cpus": boxes.LITTLE_CPU, "most_cpus": 0.35},
    ),
    Attack(
        id="resources.open-files",
        group=Group.RESOURCES,
        title="Open files",
        tried="thousands of descriptors, the own limit raised as far as it goes",
        expected="there is an end of them, and the limit cannot be raised",
        remedy=f"agents can open any number of files: {_LIMIT}",
        control=Control(limits.MORE_OPEN),
        given={"files": limits.OPEN_FILES, "try_files": limits.TRY_OPEN},
    ),
    Attack(
        id="resources.core-dump",
        group=Group.RESOURCES,
        title="Core dumps",
        tried="a crash that dumps memory to disk",
        expected="nothing is dumped, and the limit cannot be raised",
        remedy=f"crashes write to disk: {_LIMIT}",
        control=Control(limits.CORES),
    ),
    _flood(
        "stdout-flood",
        "A flood on stdout",
        "short lines without an end",
        stream="stdout",
        shape="lines",
        size=_ENDLESS,
    ),
    _flood(
        "stderr-flood",
        "A flood on stderr",
        "short lines without an end",
        stream="stderr",
        shape="lines",
        size=_ENDLESS,
    ),
    _flood(
        "long-line",
        "One line of a gigabyte",
        "a line of 1 GiB on stdout, and an answer behind it",
        stream="stdout",
        shape="line",
        size=1024**3,
    ),
    Attack(
        id="resources.kept-log",
        group=Group.RESOURCES,
        title="The engine's log",
        tried="output that the engine itself writes to its machine's disk",
        expected="the engine keeps none of it",
        remedy="the engine keeps agents' output on its disk: report it with this table",
        control=Control(
            limits.KEPT_LOG, given={"flood_bytes": 1024**2}, stand_in="a log of 5 MB at most"
        ),
        judge=noted,
        drive=floods.read_flood,
        program="resources/flood.py",
        given={"stream": "stdout", "shape": "lines", "flood_bytes": 1024**2},
    ),
    Attack(
        id="resources.stalled-reader",
        group=Group.RESOURCES,
        title="A flood with a stalled reader",
        tried="a flood while nobody asks for its lines, and then the end",
        expected="the kill returns in under a second",
        remedy=f"an agent that floods cannot be ended in time: {_HARNESS}",
        control=Control(
            drive=floods.unread, removed="the draining of output that nobody asked for"
        ),
        judge=floods.stalled_judge,
        drive=floods.stalled,
        program="resources/flood.py",
        given={"stream": "stdout", "shape": "lines", "flood_bytes": _ENDLESS},
    ),
    Attack(
        id="resources.small-writes",
        group=Group.RESOURCES,
        title="100,000 small writes",
        tried="100,000 lines, each written by itself, and then an answer",
        expected="the answer is found, and the first part of the lines kept as the log",
        remedy=f"many small writes stop a run: {_HARNESS}",
        control=Control(
            drive=stubborn.all_pieces_kept,
            removed="the bound of what is kept: a reader that keeps every line",
        ),
        judge=noted,
        drive=stubborn.in_small_pieces,
        timeout_s=40.0,
    ),
    Attack(
        id="resources.sigterm",
        group=Group.RESOURCES,
        title="Ignored signals",
        tried="ignoring SIGTERM and every other signal that can be ignored, children too",
        expected="it is gone at once all the same",
        remedy=f"an agent does not end: {_HARNESS}",
        control=Control(drive=stubborn.asked_to_end, removed="SIGKILL: it is asked with SIGTERM"),
        judge=noted,
        drive=stubborn.ends_at_once,
    ),
    Attack(
        id="resources.stdin-unread",
        group=Group.RESOURCES,
        title="stdin never read",
        tried="a case of 8 MiB that the agent answers unread, and one that it ignores",
        expected="the answer counts, the timeout holds",
        remedy=f"an agent that does not read holds up the run: {_HARNESS}",
        control=Control(
            drive=stubborn.written_before_read,
            removed="reading while the case is written: it is written first",
        ),
        judge=noted,
        drive=stubborn.unread_stdin,
        given={"pause_s": 0.5},
    ),
    Attack(
        id="resources.daemons",
        group=Group.RESOURCES,
        title="Daemons left behind",
        tried="double forks in sessions of their own, listening in the lane, keeping stdout open",
        expected="they are gone with the container: the next case finds no listener",
        remedy=f"an agent's processes outlive its case: {_HARNESS}",
        control=Control(drive=left.found_in_the_same_container, removed=left.KEPT_CONTAINER),
        drive=left.found_by_the_next,
        given={"kinds": ["listeners", "abstract"], "form": "left-behind"},
    ),
    Attack(
        id="resources.late-answer",
        group=Group.RESOURCES,
        title="A late answer",
        tried="sleeping past the timeout, and answering then",
        expected="the case has timed out, and the late answer meets no case",
        remedy=f"a late answer is taken for another case's: {_HARNESS}",
        control=Control(drive=late.late_to_a_naive_worker, removed=late.NAIVE_WORKER),
        judge=noted,
        drive=late.late("case"),
    ),
    Attack(
        id="resources.late-worker",
        group=Group.RESOURCES,
        title="A late answer of a worker",
        tried="the same with `isolation: worker`, where the next case would go to the same process",
        expected="the worker is ended with the case that timed out",
        remedy=f"a late answer is taken for another case's: {_HARNESS}",
        control=Control(drive=late.late_to_a_naive_worker, removed=late.NAIVE_WORKER),
        judge=noted,
        drive=late.late("worker"),
        program="resources/late_answer.py",
    ),
)
