"""Figures: what came out of a run, how sure that is, and how two runs differ. Pure.

``summary`` adds a run up, with ``spread``, ``intervals`` and
``repeats``; ``comparison`` pairs two runs by case, with the tests and intervals of ``paired``.
"""

from pacabench.stats.intervals import Interval
from pacabench.stats.spread import Spread, percentile
from pacabench.stats.summary import (
    AgentSummary,
    CaseFigures,
    Counts,
    PerCase,
    Summary,
    Totals,
    add_up,
    summarise,
)

__all__ = [
    "AgentSummary",
    "CaseFigures",
    "Counts",
    "Interval",
    "PerCase",
    "Spread",
    "Summary",
    "Totals",
    "add_up",
    "percentile",
    "summarise",
]
