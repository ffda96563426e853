"""The soak: kills by the hundred, and a report. ``make soak ARGS="--kills 200 --seed 7"``."""

import argparse
import itertools
import json
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faults.deck import Deck
from faults.engines import Engine, open_private_engine, save_images
from faults.episode import Ended, Episode, Ground, environment
from faults.kills import ALL_BUT_ENGINE, Kill, Victim, read_kill
from faults.order import arrange
from faults.provider import open_books
from faults.report import Tally, say, show, write_report

_REPOSITORY = Path(__file__).parents[2]
CACHE = _REPOSITORY / ".pacabench" / "test-cache"
_ENGINE_EACH = 3
"""One episode in so many is on a private engine, where ``dockerd`` is a victim too."""
_MORE_FOR_STEPS = 1.25
"""So many times the kills that were asked for, where a step is missing."""
_MOST_VIOLATED = 10
"""Episodes: where nothing works, no kill is ever done."""
_VIOLATED, _INCOMPLETE = 1, 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What an episode is to suffer, and where."""

    name: str
    private: bool
    live_restore: bool
    kills: list[Kill]


def plan(deck: Deck, number: int, options: argparse.Namespace, wanted: Sequence[Victim]) -> Plan:
    """The next episode."""
    name = f"faults-{options.seed}-{number}"
    chance = random.Random(name)
    on_host = [victim for victim in wanted if victim is not Victim.ENGINE]
    private = Victim.ENGINE in wanted and (not on_host or number % _ENGINE_EACH == 1)
    count = chance.randint(options.cases * 2 // 5, options.cases * 3 // 5)
    dealt = deck.deal(wanted if private else on_host, count, alone=private)
    return Plan(name, private, chance.random() < 0.5, arrange(chance, dealt))


def read_plan(path: Path) -> Plan:
    """One that an earlier soak wrote, under another name."""
    written: dict[str, Any] = json.loads(path.read_text())
    written["name"] += f"-{secrets.token_hex(2)}"
    return Plan(**{**written, "kills": [read_kill(kill) for kill in written["kills"]]})


@contextmanager
def open_ground(path: Path, options: argparse.Namespace, planned: Plan) -> Iterator[Ground]:
    """This machine's engine, or a private one with that one's images."""
    with ExitStack() as stack:
        engine = Engine()
        if planned.private:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pbf-")))
            private = open_private_engine(folder, live_restore=planned.live_restore)
            engine = started = stack.enter_context(private)
            started.load(path / "images.tar")
        yield Ground(path, engine, CACHE, options.cases, options.concurrency)


def play(path: Path, options: argparse.Namespace, planned: Plan) -> Ended:
    """One episode. Its plan is kept, for ``--again``."""
    folder = path / planned.name
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(asdict(planned), indent=2) + "\n")
    with open_ground(path, options, planned) as ground:
        assert ground.engine is not None
        with open_books(ground.engine.namespace_of, slow_s=options.slow) as books:
            return Episode(planned.name, planned.kills, ground, books).play()


def play_all(path: Path, options: argparse.Namespace, wanted: Sequence[Victim]) -> Iterator[Ended]:
    """Episodes as they end, ``jobs`` at a time, until there were enough kills or a violation."""
    deck = Deck(random.Random(options.seed), wanted)
    numbers, kills, violated, over = itertools.count(1), 0, 0, False
    with ThreadPoolExecutor(options.jobs) as pool:
        under_way: set[Future[Ended]] = set()
        while under_way or not over:
            while not over and len(under_way) < options.jobs:
                planned = plan(deck, next(numbers), options, wanted)
                under_way.add(pool.submit(play, path, options, planned))
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for ended in (future.result() for future in done):
                deck.take_back(ended.missed, ended.done)
                kills += len(ended.done)
                enough = options.kills * (_MORE_FOR_STEPS if deck.outstanding else 1)
                violated += bool(ended.violations)
                over |= kills >= enough or violated >= (_MOST_VIOLATED if options.go_on else 1)
                yield ended


def soak(options: argparse.Namespace) -> int:
    """Play until there were enough kills. 1: something was violated; 2: a step was never hit."""
    wanted = [Victim(name) for name in options.victims]
    path = options.keep or Path(tempfile.mkdtemp(prefix="pacabench-soak-"))
    path.mkdir(parents=True, exist_ok=True)
    say(f"seed {options.seed}; everything is kept in {path}")
    started = time.monotonic()
    calm = Plan(f"faults-{options.seed}-calm", private=False, live_restore=False, kills=[])
    played = [play(path, options, calm)]  # the checks have to hold without a kill too
    say(played[0])
    if Victim.ENGINE in wanted or options.again:
        save_images(path / calm.name, environment(CACHE), path / "images.tar")
    if options.again:
        wanted = []  # nobody is missing
        played.append(play(path, options, read_plan(options.again)))
        say(played[-1])
    elif options.go_on or not played[0].violations:
        for ended in play_all(path, options, wanted):
            played.append(ended)
            say(ended)
            tally = Tally(played, wanted)
            write_report(path, options.seed, played, tally, time.monotonic() - started)
    seconds, tally = time.monotonic() - started, Tally(played, wanted)
    show(options.seed, played, tally, seconds)
    write_report(path, options.seed, played, tally, seconds)
    if any(one.violations for one in played):
        return _VIOLATED
    return _INCOMPLETE if tally.never else 0


def main() -> None:
    """The command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that private engines end too
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default=secrets.token_hex(3))
    parser.add_argument("--again", type=Path, help="play the episode of this plan.json only")
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=1, help="episodes at a time")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--slow", type=float, default=2.5, help="longest wait for an answer, s")
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
