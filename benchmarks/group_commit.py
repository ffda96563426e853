"""What durability costs: results/s with group commit, with an fsync per result, and with none.

Many attempts end at the same time; each counts only once its line is on disk. Three ways of it, in
the same process and on the same disk, turn by turn: the journal as it is (those who wait share one
fsync), each line with an fsync of its own, and no fsync at all.

    python benchmarks/group_commit.py [--results N] [--at-a-time 1,16,256] [--fsync-ms 0,5]

A virtual disk may answer an fsync from memory, and then there is little to gain: all is done again
with an fsync that takes some milliseconds longer, one at a time, as a spinning disk's does.

The goal: with many at a time, near the rate without any fsync; alone, no slower than a plain fsync.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import threading
import time
import unittest.mock
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from pacabench.durable import sync_file
from pacabench.model import CaseResult
from pacabench.store import RunStore
from pacabench.store import journal as journal_module
from pacabench.store.journal import Journal
from pacabench.store.lines import encode
from pacabench.testing.records import fake_key, fake_manifest, fake_metered, fake_result

Append = Callable[[CaseResult], Awaitable[None]]


async def rate(append: Append, results: int, at_a_time: int) -> float:
    """Results/s that ``append`` takes from ``at_a_time`` workers."""
    numbers = iter(range(results))

    async def work() -> None:
        for number in numbers:
            await append(fake_result(fake_key(f"case-{number}")))

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(at_a_time)))
    return results / (time.monotonic() - began)


@contextlib.contextmanager
def slower_disk(milliseconds: float) -> Iterator[Callable[[int], None]]:
    """An fsync that takes so much longer, for the journal and for whoever asks here."""
    flush = threading.Lock()  # a disk does one at a time

    def sync(handle: int) -> None:
        with flush:
            time.sleep(milliseconds / 1000)
            sync_file(handle)

    slow = sync if milliseconds else sync_file
    with unittest.mock.patch.object(journal_module, "sync_file", slow):
        yield slow


def grouped(folder: Path, results: int, at_a_time: int) -> float:
    """The journal as a run uses it: a call and a result per case."""
    with RunStore.create(folder, fake_manifest(), "") as store:
        store.begin_session()

        async def append(result: CaseResult) -> None:
            store.append_call(fake_metered(result))
            await store.append_result(result)

        return asyncio.run(rate(append, results, at_a_time))


def plain(folder: Path, results: int, at_a_time: int, sync: Callable[[int], None] | None) -> float:
    """The same lines into the same files; each result waits for its own fsyncs, or for none.

    With fsyncs the order is the journal's: calls are on disk before their result is written, which
    an fsync of both behind both writes would not promise.
    """
    folder.mkdir()
    names = ("calls", "results")
    journals = {}
    for name in names:
        (folder / name).touch()
        journals[name] = Journal(folder / name, name)
    handles = {name: os.open(folder / name, os.O_RDONLY) for name in names}

    async def append(result: CaseResult) -> None:
        for name, record in zip(names, (fake_metered(result), result), strict=True):
            journals[name].append([encode(record)])
            if sync is not None:
                await asyncio.to_thread(sync, handles[name])
        if sync is None:
            await asyncio.sleep(0)

    found = asyncio.run(rate(append, results, at_a_time))
    for name in names:
        journals[name].close()
        os.close(handles[name])
    return found


def compare(options: argparse.Namespace, at_a_time: int, fsync_ms: float) -> dict[str, float]:
    """The three rates, each the median of the rounds."""
    rates: dict[str, list[float]] = {"grouped": [], "one by one": [], "no fsync": []}
    for _ in range(options.rounds):
        with (
            tempfile.TemporaryDirectory(dir=options.folder) as name,
            slower_disk(fsync_ms) as sync,
        ):
            folder, count = Path(name), options.results
            rates["grouped"].append(grouped(folder / "a", count, at_a_time))
            rates["one by one"].append(plain(folder / "b", count, at_a_time, sync))
            rates["no fsync"].append(plain(folder / "c", count, at_a_time, None))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "fsync_ms": fsync_ms,
        "at_a_time": at_a_time,
        **{name: round(value) for name, value in medians.items()},
        "times_one_by_one": round(medians["grouped"] / medians["one by one"], 2),
        "share_of_no_fsync": round(medians["grouped"] / medians["no fsync"], 3),
    }


def main() -> None:
    """Print the three rates for each disk and number at a time, as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--at-a-time", default="1,16,256")
    parser.add_argument("--fsync-ms", default="0,5")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    options = parser.parse_args()
    found = []
    for fsync_ms in map(float, options.fsync_ms.split(",")):
        for at_a_time in map(int, options.at_a_time.split(",")):
            entry = compare(options, at_a_time, fsync_ms)
            found.append(entry)
            print(
                "fsync + {fsync_ms:g} ms, {at_a_time:>3} at a time: grouped {grouped:>6}/s  "
                "one by one {one by one:>6}/s  no fsync {no fsync:>6}/s  = "
                "{times_one_by_one:.2f} x one by one".format(**entry),
                flush=True,
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
