"""``pacabench export --format md``: a run as GitHub-flavoured Markdown. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from pacabench.export_mark import EXPORT_MARK
from pacabench.model import CaseResult
from pacabench.report.budget import budget_lines
from pacabench.report.printable import markdown_cell, printable_json
from pacabench.report.view import RunView
from pacabench.report.wording import (
    NONE,
    bounds,
    case_name,
    count,
    dangers_of,
    dollars,
    dollars_per_pass,
    duration,
    money,
    percent,
    repeated,
    tokens,
    warnings_of,
)
from pacabench.stats import AgentSummary

_ANSWER_CHARS = 200


def render_markdown(view: RunView, *, include_cases: bool) -> str:
    """The run's facts, what to know first, a table of figures; with ``include_cases`` all cases.

    Whatever agents, data sets or the configuration chose is escaped.
    """
    return "\n".join([*_lines(view, include_cases=include_cases), "", EXPORT_MARK]) + "\n"


def _lines(view: RunView, *, include_cases: bool) -> Iterator[str]:
    manifest = view.record.manifest
    yield f"# {markdown_cell(manifest.name)}"
    yield ""
    if manifest.description:
        yield markdown_cell(manifest.description, 2000)
        yield ""
    yield from _facts(view)
    for danger in dangers_of(view):
        yield f"> **Danger:** {markdown_cell(danger, 1000)}"
        yield ""
    for warning in warnings_of(view):
        yield f"> **Note:** {markdown_cell(warning, 1000)}"
        yield ""
    yield "## Results"
    yield ""
    yield from _summary(view)
    if include_cases:
        yield ""
        yield "## Cases"
        yield ""
        yield from _cases(view)


def _facts(view: RunView) -> Iterator[str]:
    manifest = view.record.manifest
    facts = {
        "Run": manifest.run_id,
        "Status": view.record.status,
        "Started": manifest.started,
        "Finished": manifest.finished or NONE,
        "Sandbox": " ".join(filter(None, (manifest.sandbox.kind, manifest.sandbox.engine))),
        "Providers": ", ".join(provider.name for provider in manifest.providers) or "none",
        "PacaBench": manifest.package_version,
        "Configuration": manifest.config_fingerprint or NONE,
        **{
            f"Budget of {whose}": spent
            for whose, _, spent in (
                line.rpartition(": ") for line in budget_lines(manifest.budget, view.spending)
            )
        },
        **{
            f"Profile {name}": kept.profile + (f" ({kept.runtime})" if kept.runtime else "")
            for name, kept in manifest.sandbox.profiles.items()
        },
        **{f"Data set {name}": digest for name, digest in manifest.dataset_hashes.items()},
        **{f"Image {name}": digest for name, digest in manifest.sandbox.image_digests.items()},
    }
    yield from _table(
        ("", ""), ([markdown_cell(name), markdown_cell(facts[name])] for name in facts)
    )
    yield ""


def _summary(view: RunView) -> Iterator[str]:
    header = (
        "Agent", "Data set", "Accuracy", "95% CI", "Passed", "Failed", "Infrastructure", "Pending",
        "Cases", "p50", "p95", "Calls", "Input tokens", "Output tokens", "Cached", "Reasoning",
        "Cost", "Per pass",
    )  # fmt: skip
    rows = [_row(agent) for agent in view.summary.agents]
    yield from _table(header, rows, left=2)
    for agent in view.summary.agents:
        if agent.repeats is not None:
            yield ""
            name = f"{markdown_cell(agent.agent)}, {markdown_cell(agent.dataset)}"
            yield f"{name}: {markdown_cell(repeated(agent.repeats), 1000)}"
    yield ""
    yield "## Per case"
    yield ""
    yield from _per_case(view)


def _per_case(view: RunView) -> Iterator[str]:
    """Median, 95th percentile and mean of what a case that passed or failed takes."""
    header = ("Agent", "Data set", "Figure", "p50", "p95", "Mean", "Cases")
    rows = []
    for agent in view.summary.agents:
        per = agent.per_case
        name = [markdown_cell(agent.agent), markdown_cell(agent.dataset)]
        for figure, spread, shown in (
            ("Latency", per.latency_ms, duration),
            ("Time to first token", per.ttft_ms, duration),
            ("Input tokens", per.input_tokens, _rounded),
            ("Output tokens", per.output_tokens, _rounded),
            ("Cost", per.cost_usd, _money),
        ):
            values = (spread.p50, spread.p95, spread.mean)
            rows.append([*name, figure, *map(shown, values), count(spread.count)])
    yield from _table(header, rows, left=3)


def _rounded(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _money(value: float | None) -> str:
    return NONE if value is None else money(value)


def _row(agent: AgentSummary) -> list[str]:
    usage = agent.usage
    figures = [
        percent(agent.accuracy),
        bounds(agent.accuracy_interval),
        count(agent.passed),
        count(agent.failed),
        f"**{count(agent.infrastructure)}**" if agent.infrastructure else "0",
        f"**{count(agent.pending)}**" if agent.pending else "0",
        count(agent.cases),
        duration(agent.per_case.latency_ms.p50),
        duration(agent.per_case.latency_ms.p95),
        count(usage.calls),
        tokens(usage.input_tokens, usage),
        tokens(usage.output_tokens, usage),
        tokens(usage.cached_tokens, usage),
        tokens(usage.reasoning_tokens, usage),
        dollars(usage),
        dollars_per_pass(agent),
    ]
    return [markdown_cell(agent.agent), markdown_cell(agent.dataset), *figures]


def _cases(view: RunView) -> Iterator[str]:
    header = (
        "Agent",
        "Data set",
        "Case",
        "Outcome",
        "Attempts",
        "Time",
        "Answer",
        "Expected",
        "Error",
    )
    rows = (_case_row(view, result) for result in view.deciding(view.case_keys()))
    yield from _table(header, rows, left=4)


def _case_row(view: RunView, result: CaseResult) -> list[str]:
    figures = view.summary.cases[result.key]
    texts = [
        printable_json(result.output, _ANSWER_CHARS) if result.output is not None else "",
        printable_json(result.expected, _ANSWER_CHARS) if result.expected is not None else "",
        result.error or "",
    ]
    return [
        markdown_cell(result.key.agent),
        markdown_cell(result.key.dataset),
        markdown_cell(case_name(result.key)),
        result.outcome.value.replace("_", " "),
        count(figures.attempts),
        duration(result.duration_ms),
        *map(markdown_cell, texts),
    ]


def _table(header: Sequence[str], rows: Iterable[list[str]], left: int = 99) -> Iterator[str]:
    """Rows of escaped cells; columns from ``left`` on hold figures and are aligned right."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---' if place < left else '--:' for place in range(len(header)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
