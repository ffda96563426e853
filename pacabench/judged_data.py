"""Data sets loaded, in a thread that can be given up, with the evaluators that judge them."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pacabench.config.evaluators import EvaluatorConfig
from pacabench.config.load import LoadedConfig
from pacabench.config.problems import nearest
from pacabench.config.schema import AgentConfig, DatasetConfig
from pacabench.datasets.base import Dataset, Place
from pacabench.datasets.load import load_dataset
from pacabench.datasets.source import is_fetched
from pacabench.errors import RunChangedError, UsageError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.desk import Desk
from pacabench.evaluators.factory import CaseCheck, make_evaluator
from pacabench.events import Listener, Notice, Preparing
from pacabench.model import Case
from pacabench.preparing import with_containers

_Named = TypeVar("_Named", AgentConfig, DatasetConfig)


@dataclass(frozen=True, slots=True)
class JudgedData:
    """A data set and what judges answers to it."""

    dataset: Dataset
    evaluator: Evaluator
    config: EvaluatorConfig


async def load_judged(
    loaded: LoadedConfig,
    names: Iterable[str],
    *,
    desk: Desk,
    evaluator: EvaluatorConfig | None,
    revisions: Mapping[str, str],
    allow_weak: bool = False,
) -> dict[str, JudgedData]:
    """Data sets and evaluators alone, without any agent; ``evaluator`` in place of their own.

    Evaluators find on ``desk`` what they need. ``allow_weak`` is as for :func:`load_data`.

    Raises:
        UsageError: no data set of such a name.
        ConfigError, DatasetError: as they say.
    """
    found = {}
    for item in selected("dataset", loaded.config.datasets, names):
        config = evaluator or item.evaluator
        judge = make_evaluator(config, loaded.project, desk)
        check = CaseCheck(judge)
        revision = revisions.get(item.name)
        dataset = await load_data(
            item, loaded, lambda _: None, check.take, revision=revision, allow_weak=allow_weak
        )
        check.finish()
        found[item.name] = JudgedData(dataset, judge, config)
    return found


async def load_unchanged(
    loaded: LoadedConfig, hashes: Mapping[str, str], revisions: Mapping[str, str]
) -> list[Dataset]:
    """The data sets that ``hashes`` names, if they are what they were.

    Raises:
        RunChangedError: one is not.
        UsageError, DatasetError: as they say.
    """
    found = []
    for item in selected("dataset", loaded.config.datasets, hashes):
        revision = revisions.get(item.name)
        found.append(
            await load_data(item, loaded, lambda _: None, lambda _: None, revision=revision)
        )
    refuse_changed({dataset.name: dataset for dataset in found}, hashes)
    return found


def refuse_changed(datasets: Mapping[str, Dataset], hashes: Mapping[str, str]) -> None:
    """See to it that answers are not put beside questions of other days.

    Raises:
        RunChangedError: a data set's hash is not the one in ``hashes``.
    """
    changed = [
        f"  {name}: {hashes.get(name)} -> {dataset.digest}"
        for name, dataset in datasets.items()
        if hashes.get(name) != dataset.digest
    ]
    if changed:
        raise RunChangedError(
            "the run was about other data:\n" + "\n".join(changed) + "\n"
            "Its answers are to other questions. Bring the data back as they were, or leave "
            "such data sets out."
        )


async def load_data(
    item: DatasetConfig,
    loaded: LoadedConfig,
    listener: Listener,
    seen: Callable[[Case], None],
    *,
    revision: str | None,
    allow_weak: bool = False,
) -> Dataset:
    """Read a data set; ``seen`` gets each case. On cancellation its ``prepare`` is killed.

    ``allow_weak``: that runs also in a container which does not hold what is promised.

    Raises:
        DatasetError: as :func:`~pacabench.datasets.load.load_dataset` says.
        SandboxUnavailableError: ``prepare`` has no container, or one that does not hold.
    """
    if item.prepare is not None or is_fetched(item.source):
        listener(Preparing(f"data set {item.name}"))
    cancelled = threading.Event()
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        notice = Notice("info", f"data set {item.name}: {text}")
        loop.call_soon_threadsafe(listener, notice)

    place = Place(
        project=loaded.project,
        cache=loaded.cache_directory,
        environ=loaded.environ,
        cancelled=cancelled.is_set,
        revision=revision,
        tell=tell,
    )
    place = with_containers(place, loaded, listener, allow_weak=allow_weak)
    try:
        return await asyncio.to_thread(load_dataset, item, place, seen=seen)
    finally:
        cancelled.set()


def selected(what: str, entries: Sequence[_Named], names: Iterable[str] | None) -> list[_Named]:
    """The entries that ``names`` asks for, in its order; all where it asks for none.

    Raises:
        UsageError: there is none of such a name; says the nearest.
    """
    known = {entry.name: entry for entry in entries}
    wanted = list(dict.fromkeys(names or ()))
    for name in wanted:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"there is no {what} {name!r}; {hint}")
    return [known[name] for name in wanted] if wanted else list(entries)
