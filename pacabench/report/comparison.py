"""Two runs side by side: what can be compared, the figures, and what to know about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pacabench.config.canonical import differences
from pacabench.errors import UsageError
from pacabench.report.view import RunView
from pacabench.report.wording import cases_of, dangers_of
from pacabench.stats.comparison import Comparison, Pairs, Side, compare_pairs, pair_sides, sides_of
from pacabench.stats.intervals import Interval
from pacabench.stats.paired import Ratio

SCHEMA_VERSION = 1
_MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Run A and run B."""

    a: RunView
    b: RunView
    rows: Sequence[Comparison]
    """One per pair of agents and data set that have cases in common."""
    pools: Sequence[Comparison]
    """One per pair of agents with cases in common in several data sets: all these together."""
    warnings: Sequence[str]
    differences: Sequence[str]
    """What is not the same in the two configurations, a line each."""
    is_whole: bool
    """Every planned case of the compared agents was judged, in both."""

    @property
    def regressions(self) -> list[Comparison]:
        """Where B is worse, and that is decided: on a data set, or over all of them."""
        return [row for row in (*self.rows, *self.pools) if row.is_regression]


def compare_runs(
    a: RunView,
    b: RunView,
    agents: Sequence[tuple[str, str]],
    datasets: Sequence[str] | None = None,
    *,
    allow_different_data: bool = False,
) -> RunComparison:
    """Pair the cases of each pair of ``agents`` (A's, B's): by data set, and all sets together.

    Raises:
        UsageError: a data set is not the same in both, or there is nothing to compare.
    """
    agents = list(dict.fromkeys(agents))
    common = _common_datasets(a, b, datasets)
    changed = [name for name in common if _hash(a, name) != _hash(b, name)]
    if changed and not allow_different_data:
        raise UsageError(_refusal(a, b, changed))
    rows: list[Comparison] = []
    pools = {pair: Pairs() for pair in agents}
    warnings = [*_warnings(a, b, common), *_incomplete(a, b, agents, common)]
    for dataset in common:
        for pair in agents:
            sides = (
                sides_of(a.summary.cases, pair[0], dataset),
                sides_of(b.summary.cases, pair[1], dataset),
            )
            if dataset in changed:
                left_out = _without_changed(a, b, pair, dataset, sides)
                warnings.append(
                    f"Data set `{dataset}` is not the same in both runs. Cases of `{pair[0]}` and "
                    f"`{pair[1]}` are matched by their id; {cases_of(left_out)} with another "
                    "expected answer left out. Questions that changed cannot be told."
                )
            pairs = pair_sides(dataset, *sides)
            if (row := compare_pairs(pair, pairs)) is not None:
                rows.append(row)
                pools[pair].extend(pairs)
    if not rows:
        raise UsageError(
            f"runs {a.record.run_id} and {b.record.run_id} have no judged case in common."
        )
    is_whole = _is_whole(a, b, agents, common)
    return RunComparison(a, b, rows, _pooled(pools), warnings, _differences(a, b), is_whole)


def _pooled(pools: Mapping[tuple[str, str], Pairs]) -> list[Comparison]:
    several = {agents: pool for agents, pool in pools.items() if len(pool.datasets) > 1}
    found = [compare_pairs(agents, pool) for agents, pool in several.items()]
    return [row for row in found if row is not None]


def agents_in(view: RunView) -> list[str]:
    """Names of the agents of a run, in their order."""
    return list(dict.fromkeys(agent.agent for agent in view.summary.agents))


def datasets_in(view: RunView) -> list[str]:
    """Names of the data sets of a run, in their order."""
    return list(dict.fromkeys(agent.dataset for agent in view.summary.agents))


def _common_datasets(a: RunView, b: RunView, asked: Sequence[str] | None) -> list[str]:
    of_b = set(datasets_in(b))
    return [name for name in datasets_in(a) if name in of_b and (not asked or name in asked)]


def _hash(view: RunView, dataset: str) -> str | None:
    return view.record.manifest.dataset_hashes.get(dataset)


def _refusal(a: RunView, b: RunView, changed: Sequence[str]) -> str:
    listed = "\n".join(f"  {name}: {_hash(a, name)} -> {_hash(b, name)}" for name in changed)
    return (
        f"runs {a.record.run_id} and {b.record.run_id} did not run on the same data:\n{listed}\n"
        "A difference may be the data's. Leave such data sets out with -d, or compare what has the "
        "same case id and expected answer with --allow-different-data."
    )


def _without_changed(
    a: RunView,
    b: RunView,
    agents: tuple[str, str],
    dataset: str,
    sides: tuple[dict[str, Side], dict[str, Side]],
) -> int:
    """Take cases out of ``sides`` that do not expect the same; how many there were."""
    expected = [_expected(view, agent, dataset) for view, agent in zip((a, b), agents, strict=True)]
    changed = [
        case_id
        for case_id in sides[0].keys() & sides[1].keys()
        if expected[0].get(case_id) != expected[1].get(case_id)
    ]
    for case_id in changed:
        for side in sides:
            del side[case_id]
    return len(changed)


def _expected(view: RunView, agent: str, dataset: str) -> dict[str, bytes]:
    keys = [key for key in view.case_keys() if key.agent == agent and key.dataset == dataset]
    return {
        result.key.case_id: orjson.dumps(result.expected, option=orjson.OPT_SORT_KEYS)
        for result in view.deciding(keys)
    }


def _warnings(a: RunView, b: RunView, datasets: Sequence[str]) -> Iterator[str]:
    for name in datasets:
        if a.evaluator(name) != b.evaluator(name):
            yield f"Data set `{name}` was judged by another evaluator: the accuracies differ by it."
    for name in sorted(set(datasets_in(a)) ^ set(datasets_in(b))):
        yield f"Data set `{name}` is in one run alone: left out."
    if a.summary.scripted or b.summary.scripted:
        yield (
            "Answers came from the built-in `scripted` provider, by rules and not by a model: the "
            "figures say nothing about any model."
        )
    for letter, view in (("A", a), ("B", b)):
        if replayed := view.summary.total.usage.replayed_calls:
            yield (
                f"Run {letter} was replayed ({replayed:,} calls out of a cassette): its times are "
                "not a provider's, and nobody billed its costs."
            )
        yield from (f"Run {letter}: {text}" for text in dangers_of(view))
        if view.is_decided:
            yield _stopped_early(letter, view)
    kinds = [view.record.manifest.sandbox.kind for view in (a, b)]
    if kinds[0] != kinds[1]:
        yield f"The sandboxes differ ({kinds[0]}, {kinds[1]}): latencies may be due to that."


def _stopped_early(letter: str, view: RunView) -> str:
    decision = view.record.manifest.decision
    if decision is not None and decision.out_of_reach:
        why = "when no decision could be reached any more (--stop-when-decided): p"
    else:
        why = (
            "when it was decided (--stop-when-decided): its accuracies make the difference look "
            "larger, and p"
        )
    return (
        f"Run {letter} was stopped {why} and intervals of a fixed number of cases do not hold for "
        "it. `show` has figures that do."
    )


def _incomplete(
    a: RunView, b: RunView, agents: Sequence[tuple[str, str]], datasets: Sequence[str]
) -> Iterator[str]:
    for place, (letter, view) in enumerate((("A", a), ("B", b))):
        names = {pair[place] for pair in agents}
        for row in view.summary.agents:
            if row.agent in names and row.dataset in datasets and row.pending + row.infrastructure:
                yield (
                    f"Run {letter}, `{row.agent}` on `{row.dataset}`: {row.pending:,} pending and "
                    f"{row.infrastructure:,} failed by infrastructure, of {cases_of(row.cases)}. "
                    "They are in no pair."
                )


def _is_whole(
    a: RunView, b: RunView, agents: Sequence[tuple[str, str]], datasets: Sequence[str]
) -> bool:
    return not any(_incomplete(a, b, agents, datasets))


def _differences(a: RunView, b: RunView) -> list[str]:
    old, new = a.record.manifest, b.record.manifest
    found = differences(old.config, new.config)
    found += [
        f"agents.{name}: its files changed"
        for name, digest in old.agent_fingerprints.items()
        if new.agent_fingerprints.get(name, digest) != digest
    ]
    more = len(found) - _MOST_DIFFERENCES
    return [*found[:_MOST_DIFFERENCES], *([f"and {more} more"] if more > 0 else [])]


def export_comparison(comparison: RunComparison) -> dict[str, Any]:
    """As JSON; ``docs/statistics.md`` says what the fields mean."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_a": _run(comparison.a),
        "run_b": _run(comparison.b),
        "whole": comparison.is_whole,
        "warnings": list(comparison.warnings),
        "differences": list(comparison.differences),
        "comparisons": [_row(row) for row in comparison.rows],
        "pooled": [_pool(row) for row in comparison.pools],
    }


def _run(view: RunView) -> dict[str, Any]:
    manifest = view.record.manifest
    return {
        "id": manifest.run_id,
        "name": manifest.name,
        "status": view.record.status,
        "dataset_hashes": manifest.dataset_hashes,
        "config_fingerprint": manifest.config_fingerprint,
    }


def _row(row: Comparison) -> dict[str, Any]:
    return {
        "agent_a": row.agent_a,
        "agent_b": row.agent_b,
        "dataset": row.datasets[0],
        **_figures(row),
        "to_passed": [case_id for _, case_id in row.to_passed],
        "to_failed": [case_id for _, case_id in row.to_failed],
    }


def _pool(row: Comparison) -> dict[str, Any]:
    """A case's id is unique in its data set only."""
    return {
        "agent_a": row.agent_a,
        "agent_b": row.agent_b,
        "datasets": list(row.datasets),
        **_figures(row),
        "to_passed": [{"dataset": name, "case_id": case_id} for name, case_id in row.to_passed],
        "to_failed": [{"dataset": name, "case_id": case_id} for name, case_id in row.to_failed],
    }


def _figures(row: Comparison) -> dict[str, Any]:
    table = row.table
    return {
        "pairs": row.pairs,
        "only_a": row.only_a,
        "only_b": row.only_b,
        "accuracy_a": row.accuracy_a,
        "accuracy_b": row.accuracy_b,
        "difference": row.accuracy_b - row.accuracy_a,
        "difference_ci95": _bounds(row.difference),
        "test": row.test,
        "p_value": row.p_value,
        "decided": row.is_decided,
        "regression": row.is_regression,
        "table": {
            "both": table.both,
            "only_a": table.only_a,
            "only_b": table.only_b,
            "neither": table.neither,
        }
        if table
        else None,
        "score_a": row.score_a,
        "score_b": row.score_b,
        "score_difference_ci95": _bounds(row.score_difference),
        "cost_ratio": _ratio(row.cost),
        "latency_ratio": _ratio(row.latency),
    }


def _bounds(interval: Interval | None) -> list[float] | None:
    """Infinite bounds become null."""
    return None if interval is None else [interval.low, interval.high]


def _ratio(ratio: Ratio | None) -> dict[str, Any] | None:
    if ratio is None:
        return None
    return {"value": ratio.value, "ci95": _bounds(ratio.interval), "pairs": ratio.pairs}
