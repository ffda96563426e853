"""Figures: what came out of a run, how sure that is, and how two runs differ. Pure.

``summary`` adds a run up, with ``usage`` (books of calls), ``spread``, ``intervals`` and
``repeats``; ``comparison`` pairs two runs by case, with the tests and intervals of ``paired``.
"""

from pacabench.stats.intervals import Interval
from pacabench.stats.spread import Spread, percentile
from pacabench.stats.summary import AgentSummary, CaseFigures, PerCase, Summary, summarise
from pacabench.stats.usage import CallFigures

__all__ = [
    "AgentSummary",
    "CallFigures",
    "CaseFigures",
    "Interval",
    "PerCase",
    "Spread",
    "Summary",
    "percentile",
    "summarise",
]
