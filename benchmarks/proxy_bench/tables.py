"""Figures as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from proxy_bench.findings import Goal

_COLUMNS = (
    ("per_s", "/s", "{:.0f}"),
    ("cpu_ms_each", "CPU ms", "{:.3f}"),
    ("latency_p50_ms", "p50", "{:.2f}"),
    ("latency_p99_ms", "p99", "{:.2f}"),
    ("added_latency_p50_ms", "+p50", "{:.2f}"),
    ("added_latency_p99_ms", "+p99", "{:.2f}"),
    ("ttft_p50_ms", "TTFT p50", "{:.2f}"),
    ("added_ttft_p50_ms", "+TTFT p50", "{:.2f}"),
    ("added_on_way_p50_ms", "+event p50", "{:.2f}"),
    ("added_on_way_p99_ms", "+event p99", "{:.2f}"),
    ("gap_p99_ms", "gap p99", "{:.1f}"),
    ("reads_of_many", "together", "{:.1%}"),
    ("load_core_busy", "load core", "{:.0%}"),
)


def render_scenario(title: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """One table: a line for each contestant; columns that nobody fills are left out."""
    columns = [it for it in _COLUMNS if any(it[0] in figures for figures in found.values())]
    rows = [["", *(head for _, head, _ in columns)]]
    rows += [
        [name, *(form.format(figures[key]) if key in figures else "-" for key, _, form in columns)]
        for name, figures in found.items()
    ]
    return f"\n{title}\n{_aligned(rows)}"


def render_goals(goals: Sequence[Goal]) -> str:
    """What was promised, and whether it is kept."""
    rows = [["goal", "measured", "promised", ""]]
    for goal in goals:
        sign = ">=" if goal.at_least else "<="
        value = "not measured" if goal.value is None else f"{goal.value:.2f} {goal.unit}"
        verdict = {True: "met", False: "MISSED", None: ""}[goal.met]
        rows.append([goal.name, value, f"{sign} {goal.limit:g} {goal.unit}", verdict])
    return "\n" + _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((first, *others)).rstrip())
    return "\n".join(lines)
