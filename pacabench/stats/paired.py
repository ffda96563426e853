"""Two samples of the same cases: how they differ, and how sure that is.

scipy and numpy do the computing. They are imported where they are used, because they take most of a
second, which only a comparison has to wait for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from pacabench.stats.intervals import LEVEL, Interval, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_RESAMPLES = 9999
LEAST_RESAMPLES = 500
_MOST_DRAWS = 50_000_000
"""Of values in all; what keeps 100,000 cases to a few seconds."""
_BATCH_DRAWS = 500_000
"""At a time: that many indices and values are in memory."""
SEED = 20_230_417
"""The same data give the same interval each time. The number has no meaning."""


@dataclass(frozen=True, slots=True)
class Table:
    """Pairs of answers by who was right."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def pairs(self) -> int:
        """All of them."""
        return self.both + self.only_a + self.only_b + self.neither


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as much B took as A, over the same cases."""

    value: float
    interval: Interval
    pairs: int
    """Those of which both values are known."""


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p-value that both are equally often right where just one of them is.

    The exact conditional test: the discordant pairs are flips of a fair coin. Q. McNemar, "Note on
    the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947). 1 where there is no such pair.
    """
    from scipy.stats import binomtest  # noqa: PLC0415 - slow

    if not only_a + only_b:
        return 1.0
    return float(binomtest(only_b, only_a + only_b, 0.5).pvalue)


def newcombe(table: Table, level: float = LEVEL) -> Interval:
    """Interval of the difference of two paired proportions, B's less A's.

    Method 10 of R. G. Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17 (1998): Wilson's intervals of both,
    put together with their correlation. It stays within -1 and 1, and is no point where the two
    never disagree. There is at least one pair.
    """
    number = table.pairs
    a, b = (table.both + table.only_a) / number, (table.both + table.only_b) / number
    of_a, of_b = wilson(a, number, level), wilson(b, number, level)
    phi = _correlation(table)

    def reach(one: float, other: float) -> float:
        return sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    low = b - a - reach(b - of_b.low, of_a.high - a)
    high = b - a + reach(a - of_a.low, of_b.high - b)
    return Interval(max(-1.0, low), min(1.0, high))


def _correlation(table: Table) -> float:
    """Newcombe's phi, with its continuity correction where it is positive."""
    right_a, right_b = table.both + table.only_a, table.both + table.only_b
    number = table.pairs
    margins = right_a * (number - right_a) * right_b * (number - right_b)
    if not margins:
        return 0.0
    cross = table.both * table.neither - table.only_a * table.only_b
    if cross > 0:
        return max(0.0, cross - number / 2) / sqrt(margins)
    return cross / sqrt(margins)


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p-value that A and B are exchangeable within each case.

    Each case's difference has either sign with the same chance; what is compared is their sum.
    R. A. Fisher, "The Design of Experiments" (1935), section 21. On single answers this is
    McNemar's exact test; here it serves means over epochs. All signs are tried where they are few,
    else a sample.
    """
    import numpy as np  # noqa: PLC0415 - slow
    from scipy.stats import permutation_test  # noqa: PLC0415 - slow

    values = np.asarray(differences, float)
    values = values[values != 0]  # either sign is the same
    if len(values) <= 1:
        return 1.0
    draws = _resamples(len(values))
    found = permutation_test(
        (values, np.zeros(len(values))),
        lambda one, other, axis: np.sum(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        batch=_batch(len(values)),
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)


def bootstrap_mean(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Percentile bootstrap interval of a mean: cases are drawn again, with replacement.

    B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. Given the
    differences of pairs it is the paired bootstrap; given means over epochs, clustered by case.
    """
    import numpy as np  # noqa: PLC0415 - slow

    array = np.asarray(values, float)
    return _bootstrap((array,), lambda drawn, axis: np.mean(drawn, axis=axis), level)


def ratio_of_means(pairs: Sequence[tuple[float, float]], level: float = LEVEL) -> Ratio | None:
    """B's mean over A's, with a paired percentile bootstrap; None where A's is nothing."""
    import numpy as np  # noqa: PLC0415 - slow

    a, b = (np.asarray([pair[place] for pair in pairs], float) for place in (0, 1))
    if not len(a) or not a.sum() > 0:
        return None

    def ratio(one: Any, other: Any, axis: int) -> Any:
        return other.sum(axis=axis) / one.sum(axis=axis)

    return Ratio(float(b.sum() / a.sum()), _bootstrap((a, b), ratio, level), len(pairs))


def _bootstrap(
    samples: tuple["NDArray[np.float64]", ...], statistic: Callable[..., Any], level: float
) -> Interval:
    import numpy as np  # noqa: PLC0415 - slow
    from scipy.stats import bootstrap  # noqa: PLC0415 - slow

    if len(samples[0]) == 1:  # nothing to draw from: nothing is known of the spread
        value = float(statistic(*samples, axis=0))
        return Interval(value, value)
    number = len(samples[0])
    with np.errstate(divide="ignore", invalid="ignore"):  # a ratio to nothing is endless
        found = bootstrap(
            samples,
            statistic,
            paired=len(samples) > 1,
            vectorized=True,
            axis=0,
            n_resamples=_resamples(number),
            batch=_batch(number),
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    # Quantiles beside an endless ratio are NaN: nothing bounds them.
    low, high = (inf if np.isnan(bound) else float(bound) for bound in (found.low, found.high))
    return Interval(low, high)


def _resamples(number: int) -> int:
    return max(LEAST_RESAMPLES, min(MOST_RESAMPLES, _MOST_DRAWS // number))


def _batch(number: int) -> int:
    return max(1, _BATCH_DRAWS // number)
