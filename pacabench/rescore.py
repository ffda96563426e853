"""``pacabench score``: the answers of a run are judged again, and no agent runs.

What is judged is each case's deciding attempt, where it has an answer: by the evaluators that the
configuration has now, against the cases that the run was about.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pacabench import __version__
from pacabench.attempt import judge_answer
from pacabench.benchmark import checkers_of
from pacabench.cassette_choice import CassetteChoice
from pacabench.checking import Checks
from pacabench.config.evaluators import EvaluatorConfig, LlmJudgeConfig
from pacabench.config.load import LoadedConfig, load_config
from pacabench.config.masking import hide_secrets
from pacabench.errors import UsageError
from pacabench.evaluators.desk import Desk
from pacabench.events import Listener
from pacabench.figures import CallFigures
from pacabench.judged_data import JudgedData, load_judged, refuse_changed
from pacabench.judging import Book, Rules, judge_specs, open_desk
from pacabench.model import CallRecord, CaseKey, CaseResult, MeteredCall, Outcome
from pacabench.owner import current_owner
from pacabench.proxy.control import ProviderSpec
from pacabench.recording import Recording, begin_cassette, open_recording
from pacabench.sandbox.base import SandboxContext, Weakness
from pacabench.sandbox.factory import open_sandbox
from pacabench.store import RunRecord, utc_now
from pacabench.store.left import read_left
from pacabench.store.scores import JudgeFigures, Rescore, ScoresHead, write_scores


@dataclass(frozen=True, slots=True)
class RescoreRequest:
    """What to judge again, and by what."""

    name: str
    """Of the new scores."""
    config_path: Path | None = None
    """Where the configuration lies; None: where the run was begun with it."""
    datasets: Sequence[str] | None = None
    """None: all of the run."""
    evaluator: EvaluatorConfig | None = None
    """In place of those of the configuration."""
    cassette: CassetteChoice | None = None
    """Record judges' calls, or replay them."""
    allow_weak: bool = False
    """Programs that judge run also where the engine does not keep a promise."""


async def rescore(
    record: RunRecord, request: RescoreRequest, listener: Listener = lambda _: None
) -> int:
    """Judge, keep the scores in the run's directory, and return how many answers there were.

    Raises:
        RunChangedError: a data set is not what the run was about.
        ConfigError, DatasetError, UsageError: as they say.
        JournalError: results, or files that an agent left, cannot be read, or scores not be kept.
        SandboxUnavailableError: programs that judge cannot be run.
    """
    manifest = record.manifest
    if record.status == "running":
        raise UsageError(f"a harness is at work on run {record.run_id}; score it when it is done.")
    path = request.config_path or Path(manifest.config_path)
    loaded = await asyncio.to_thread(load_config, path, flags=manifest.flags)
    names = request.datasets or tuple(manifest.dataset_hashes)
    desk = Desk()
    data = await load_judged(
        loaded,
        names,
        desk=desk,
        evaluator=request.evaluator,
        revisions=manifest.dataset_revisions,
        allow_weak=request.allow_weak,
    )
    datasets = {name: item.dataset for name, item in data.items()}
    refuse_changed(datasets, manifest.dataset_hashes)
    spent, choice = CallFigures(), request.cassette
    sealed = choice is not None and choice.sealed
    specs = judge_specs(loaded, [item.config for item in data.values()], sealed=sealed)
    concurrency = loaded.config.config.concurrency
    with _open_recording(record, choice, loaded, specs, listener) as recording:
        rules = Rules(tapes=recording.judge_tapes, seed=recording.seed)
        book = recording.heard_of_judge(_book(spent))
        async with (
            open_desk(desk, specs, loaded, book, listener, rules),
            _programs(record, data, loaded, desk, request, listener) as weaknesses,
        ):
            scores = [score async for score in _judged(record, data, concurrency, recording)]
    head = ScoresHead(
        name=request.name,
        at=utc_now(),
        package_version=__version__,
        evaluators={name: _plain(data[name].config, loaded.secrets) for name in names},
        judge=JudgeFigures(
            calls=spent.calls,
            failed_calls=spent.failed_calls,
            input_tokens=spent.input_tokens,
            output_tokens=spent.output_tokens,
            cost_usd=spent.cost_usd,
            replayed_calls=spent.replayed_calls,
            unmatched_calls=spent.unmatched_calls,
        )
        if specs
        else None,
        weaknesses=tuple(dict.fromkeys(weak.promise for weak in weaknesses)),
    )
    await asyncio.to_thread(write_scores, record.run_dir, head, scores)
    return len(scores)


@contextmanager
def _open_recording(
    record: RunRecord,
    choice: CassetteChoice | None,
    loaded: LoadedConfig,
    specs: Mapping[LlmJudgeConfig, ProviderSpec],
    listener: Listener,
) -> Iterator[Recording]:
    """What is done about recordings while answers are judged; no bodies go into the run."""
    if choice is None:
        yield Recording()
        return
    if not specs:
        raise UsageError(f"--{choice.mode}: no model is asked for a verdict here")
    proxy = loaded.config.config.proxy.model_copy(update={"capture": None})
    cassette = begin_cassette(choice, proxy.replay)
    keys = {verdict.key for _, verdict in record.verdicts_file()}
    with open_recording(record.run_dir, cassette, keys, proxy, listener) as recording:
        yield recording


def _book(spent: CallFigures) -> Book:
    """Judges' calls are added up; they are no agent's, and in no journal of the run."""
    nobody = CaseKey("", "", "")
    return lambda call, cost_usd: spent.add(MeteredCall(nobody, call, cost_usd))


def _plain(config: EvaluatorConfig, secrets: frozenset[str]) -> dict[str, Any]:
    """As it is kept and exported: without keys."""
    plain: dict[str, Any] = hide_secrets(
        config.model_dump(mode="json"), secrets, lambda _, masked: masked
    )
    return plain


@asynccontextmanager
async def _programs(
    record: RunRecord,
    data: Mapping[str, JudgedData],
    loaded: LoadedConfig,
    desk: Desk,
    request: RescoreRequest,
    listener: Listener,
) -> AsyncIterator[Sequence[Weakness]]:
    """Programs that look at answers run as in the run: in its kind of sandbox, and reach nothing.

    Without any, no sandbox is opened. Yields what that sandbox does not hold.

    Raises:
        ConfigError: a file or a directory of theirs is not there.
        SandboxUnavailableError: they cannot be run.
    """
    programs = checkers_of({name: item.config for name, item in data.items()}, loaded)
    if not programs:
        yield ()
        return
    context = SandboxContext(
        run_id=record.run_id,
        run_dir=record.run_dir,
        owner=current_owner(),
        cache_dir=loaded.cache_directory,
        agents=tuple(programs.values()),
        providers=(),
        default_provider="",
        concurrency=loaded.config.config.concurrency,
        on_call=lambda _: None,
        listener=listener,
        allow_weak=request.allow_weak,
    )
    async with open_sandbox(loaded.config.sandbox.kind, context) as sandbox:
        desk.run_check = Checks(sandbox, programs).run
        yield sandbox.facts.weaknesses


async def _judged(
    record: RunRecord, data: Mapping[str, JudgedData], concurrency: int, recording: Recording
) -> AsyncIterator[Rescore]:
    """Every deciding attempt with an answer; so many at a time, in the order of the file."""
    results = record.results_file().at(_deciding(record, data))
    places = {
        name: {case_id: place for place, case_id in enumerate(item.dataset.case_ids)}
        for name, item in data.items()
    }
    calls = _calls_of_failed_providers(record)

    async def judge(result: CaseResult) -> Rescore:
        item = data[result.key.dataset]
        case = item.dataset.cases[places[result.key.dataset][result.key.case_id]]
        left = None
        if result.left is not None:
            left = await asyncio.to_thread(read_left, record.run_dir, result.left)
        of_attempt = calls.get(result.attempt_id, ())
        outcome, error, evaluation = await judge_answer(
            item.evaluator, case, result.output, of_attempt, result.attempt_id, left
        )
        await recording.seal_judged(replace(result, outcome=outcome))
        return Rescore(result.attempt_id, outcome, evaluation, error)

    answered = (result for result in results if _has_answer(result))
    while batch := list(islice(answered, concurrency)):
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(judge(result)) for result in batch]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        for task in tasks:
            yield task.result()


def _deciding(record: RunRecord, data: Mapping[str, JudgedData]) -> list[int]:
    places: dict[CaseKey, int] = {}
    for place, verdict in record.verdicts_file():
        if verdict.decides and verdict.key.dataset in data:
            places[verdict.key] = place
    return sorted(places.values())


def _has_answer(result: CaseResult) -> bool:
    return result.evaluation is not None or result.outcome is Outcome.EVALUATOR_ERROR


def _calls_of_failed_providers(record: RunRecord) -> dict[str, list[CallRecord]]:
    """The calls of attempts in which a provider failed: a wrong answer may be its doing."""
    failed = {
        metered.call.attempt_id for metered in record.calls() if metered.call.is_provider_failure
    }
    calls: dict[str, list[CallRecord]] = {attempt_id: [] for attempt_id in failed}
    if failed:
        for metered in record.calls():
            if metered.call.attempt_id in failed:
                calls[metered.call.attempt_id].append(metered.call)
    return calls
