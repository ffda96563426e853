"""The soak: kills by the hundred, and a report. ``make soak ARGS="--kills 200 --seed 7"``."""

import argparse
import itertools
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path

from faults.engines import Engine, open_private_engine, save_images
from faults.episode import Ended, Episode, Ground, environment
from faults.kills import ALL_BUT_ENGINE, Victim, plan_episode
from faults.provider import open_books
from faults.report import say, show, write_report

_REPOSITORY = Path(__file__).parents[2]
CACHE = _REPOSITORY / ".pacabench" / "test-cache"
_ENGINE_EACH = 4
"""One episode in so many is on a private engine, where ``dockerd`` is a victim too."""


def victims_of(number: int, wanted: Sequence[Victim]) -> list[Victim]:
    """Who may be killed in episode ``number``."""
    on_host = [victim for victim in wanted if victim is not Victim.ENGINE]
    private = Victim.ENGINE in wanted and (not on_host or number % _ENGINE_EACH == 0)
    return [*on_host, Victim.ENGINE] if private else on_host


@contextmanager
def open_ground(path: Path, options: argparse.Namespace, *, seed: str) -> Iterator[Ground]:
    """A private engine for this episode, with the images of this machine's."""
    with tempfile.TemporaryDirectory(prefix="pbf-") as folder, ExitStack() as stack:
        live_restore = random.Random(seed).random() < 0.5
        engine = stack.enter_context(open_private_engine(Path(folder), live_restore=live_restore))
        engine.load(path / "images.tar")
        yield Ground(path, engine, CACHE, options.cases, options.concurrency)


def play(number: int, path: Path, options: argparse.Namespace, wanted: Sequence[Victim]) -> Ended:
    """Episode ``number`` of a seed."""
    seed = f"{options.seed}-{number}"
    victims = victims_of(number, wanted)
    kills = plan_episode(random.Random(seed), victims, cases=options.cases)
    name = f"faults-{seed}"
    with ExitStack() as stack:
        if Victim.ENGINE in victims:
            ground = stack.enter_context(open_ground(path, options, seed=seed))
        else:
            ground = Ground(path, Engine(), CACHE, options.cases, options.concurrency)
        assert ground.engine is not None
        books = stack.enter_context(open_books(ground.engine.namespace_of))
        return Episode(name, kills, ground, books).play()


def play_undisturbed(path: Path, options: argparse.Namespace) -> Ended:
    """A run without a kill: the checks have to hold there too."""
    ground = Ground(path, Engine(), CACHE, options.cases, options.concurrency)
    with open_books() as books:
        return Episode(f"faults-{options.seed}-calm", [], ground, books).play()


def play_all(path: Path, options: argparse.Namespace, wanted: Sequence[Victim]) -> Iterator[Ended]:
    """Episodes as they end, ``jobs`` at a time, until there were enough kills or a violation."""
    numbers, kills, over = itertools.count(1), 0, False
    with ThreadPoolExecutor(options.jobs) as pool:
        under_way: set[Future[Ended]] = set()
        while under_way or not over:
            while not over and len(under_way) < options.jobs:
                under_way.add(pool.submit(play, next(numbers), path, options, wanted))
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                ended = future.result()
                kills += len(ended.done)
                over |= kills >= options.kills or bool(ended.violations and not options.go_on)
                yield ended


def soak(options: argparse.Namespace) -> int:
    """Play until there were enough kills; 1 if anything was violated."""
    wanted = [Victim(name) for name in options.victims]
    path = options.keep or Path(tempfile.mkdtemp(prefix="pacabench-soak-"))
    path.mkdir(parents=True, exist_ok=True)
    say(f"seed {options.seed}; everything is kept in {path}")
    started, played = time.monotonic(), [play_undisturbed(path, options)]
    say(played[0])
    if Victim.ENGINE in wanted:
        calm = path / played[0].name
        save_images(calm, environment(CACHE), path / "images.tar")
    if options.episode:
        played.append(play(options.episode, path, options, wanted))
        say(played[-1])
    elif options.go_on or not played[0].violations:
        for ended in play_all(path, options, wanted):
            played.append(ended)
            say(ended)
            write_report(path, options.seed, played, time.monotonic() - started)
    seconds = time.monotonic() - started
    show(options.seed, played, seconds)
    write_report(path, options.seed, played, seconds)
    return int(any(one.violations for one in played))


def main() -> None:
    """The command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that private engines end too
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default=secrets.token_hex(3))
    parser.add_argument("--episode", type=int, help="only this one of the seed")
    parser.add_argument("--cases", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=1, help="episodes at a time")
    parser.add_argument("--concurrency", type=int, default=3)
    parser.add_argument(
        "--victims",
        nargs="+",
        choices=[victim.value for victim in Victim],
        default=[*ALL_BUT_ENGINE, Victim.ENGINE],
    )
    parser.add_argument("--go-on", action="store_true", help="after a violation too")
    parser.add_argument("--keep", type=Path, help="directory for runs and logs")
    sys.exit(soak(parser.parse_args()))


if __name__ == "__main__":
    main()
