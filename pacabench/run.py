"""From a configuration, or a run's directory, to a session of the run.

``start_run`` begins a run (or goes on with it), ``resume_run`` goes on with one, ``retry_run``
makes again what did not pass. All three end in :func:`~pacabench.session.carry_out`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacabench.benchmark import load_benchmark
from pacabench.cassette_choice import CassetteChoice
from pacabench.config.load import load_config
from pacabench.events import Listener
from pacabench.job import Job, RunReport
from pacabench.model import Outcome
from pacabench.provenance import new_manifest, refuse_changes
from pacabench.recording import prepare, refuse_other_cassette
from pacabench.scheduler import Stop
from pacabench.session import carry_out
from pacabench.store import RunStore, Selection, new_run_id


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run."""

    config_path: Path
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys of the configuration to values that win over it."""
    selection: Selection = field(default_factory=Selection)
    run_id: str | None = None
    """An existing one is resumed."""
    cassette: CassetteChoice | None = None
    """Record its LLM calls, or replay them."""


async def start_run(
    request: RunRequest,
    *,
    accept_changes: bool,
    allow_weak: bool = False,
    listener: Listener,
    stop: Stop,
) -> RunReport:
    """Begin a run, or go on with the one that has the id asked for.

    A new run that ends before its first case could begin (no engine, an image that cannot be
    made) leaves no directory.

    Raises:
        PacabenchError: nothing ran, or the run had to end; what was finished is on disk.
    """
    loaded = await asyncio.to_thread(load_config, request.config_path, flags=request.flags)
    run_dir = loaded.output_directory / (request.run_id or new_run_id(loaded.config.name))
    cassette = request.cassette
    sealed = cassette is not None and cassette.sealed
    if request.run_id is not None and run_dir.is_dir():
        with RunStore.open(run_dir) as store:
            refuse_other_cassette(cassette, store.manifest.cassette)
            pinned = store.manifest.dataset_revisions
            benchmark = await load_benchmark(
                loaded,
                request.selection,
                listener,
                revisions=pinned,
                sealed=sealed,
                allow_weak=allow_weak,
            )
            refuse_changes(store, benchmark, listener, accept=accept_changes)
            return await carry_out(
                Job(store, benchmark, request.flags, frozenset(), listener, stop, allow_weak)
            )
    benchmark = await load_benchmark(
        loaded, request.selection, listener, sealed=sealed, allow_weak=allow_weak
    )
    manifest = new_manifest(run_dir.name, benchmark, request.flags)
    if cassette is not None:
        record = await asyncio.to_thread(prepare, cassette, benchmark)
        manifest = manifest.model_copy(update={"cassette": record})
    text = loaded.text.decode("utf-8", "surrogateescape")
    with RunStore.create(run_dir.parent, manifest, text) as store:
        job = Job(store, benchmark, request.flags, frozenset(), listener, stop, allow_weak)
        try:
            return await carry_out(job)
        except BaseException:
            if not job.announced:
                store.discard()  # else `resume` would take it for the newest unfinished run
            raise


async def resume_run(
    run_dir: Path,
    *,
    config_path: Path | None = None,
    accept_changes: bool,
    allow_weak: bool = False,
    listener: Listener,
    stop: Stop,
) -> RunReport:
    """Go on with the run in ``run_dir`` as it was begun: same flags, same selection.

    Cases without a result and those that the infrastructure failed are run. ``config_path`` says
    where the configuration lies now.

    Raises:
        RunLockedError: another harness is at it.
        RunChangedError: configuration, data or agents are not what they were.
        PacabenchError: as for :func:`start_run`.
    """
    return await _go_on(
        run_dir, config_path, accept_changes, allow_weak, frozenset(), listener, stop
    )


async def retry_run(
    run_dir: Path,
    *,
    only: frozenset[Outcome] | None = None,
    config_path: Path | None = None,
    accept_changes: bool,
    allow_weak: bool = False,
    listener: Listener,
    stop: Stop,
) -> RunReport:
    """Run again the cases whose deciding outcome is in ``only``: by default, all but passed ones.

    Earlier attempts stay on record; the new ones decide.

    Raises:
        PacabenchError: as for :func:`resume_run`.
    """
    again = frozenset(Outcome) if only is None else only
    return await _go_on(
        run_dir, config_path, accept_changes, allow_weak, again - {Outcome.PASSED}, listener, stop
    )


async def _go_on(
    run_dir: Path,
    config_path: Path | None,
    accept_changes: bool,
    allow_weak: bool,
    retry: frozenset[Outcome],
    listener: Listener,
    stop: Stop,
) -> RunReport:
    with RunStore.open(run_dir) as store:
        manifest = store.manifest
        path = config_path or Path(manifest.config_path)
        loaded = await asyncio.to_thread(load_config, path, flags=manifest.flags)
        cassette = manifest.cassette
        benchmark = await load_benchmark(
            loaded,
            manifest.selection,
            listener,
            revisions=manifest.dataset_revisions,
            sealed=cassette is not None and cassette.mode == "replay",
            allow_weak=allow_weak,
        )
        refuse_changes(store, benchmark, listener, accept=accept_changes)
        return await carry_out(
            Job(store, benchmark, manifest.flags, retry, listener, stop, allow_weak)
        )
