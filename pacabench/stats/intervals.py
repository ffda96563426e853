"""Confidence intervals of proportions. Plain Python: ``show`` must not wait for a library."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

LEVEL = 0.95
"""The level of every interval that is shown."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Two bounds."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def wilson(share: float, number: float, level: float = LEVEL) -> Interval:
    """The score interval of a proportion ``share`` that was seen in ``number`` trials.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22
    (1927). It stays within 0 and 1 and does not shrink to a point at either end, as the usual
    normal interval does. ``number`` may be a fraction: an effective sample size.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    centre = share + z * z / (2 * number)
    half = z * sqrt(share * (1 - share) / number + z * z / (4 * number * number))
    scale = 1 + z * z / number
    low = 0.0 if share == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if share == 1 else min(1.0, (centre + half) / scale)
    return Interval(low, high)


def clustered_wilson(clusters: Iterable[tuple[int, int]], level: float = LEVEL) -> Interval | None:
    """Wilson's interval where trials come in clusters: the epochs of one case are alike.

    The number of trials is divided by the design effect: the variance of the proportion between
    clusters (the linearised one of a ratio) over that of independent trials. E. L. Korn and B. I.
    Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24 (1998). One trial in each cluster gives
    :func:`wilson`. Trials never count for more than they are, nor for less than one per cluster,
    which is what they are worth where all of a cluster agree.

    Args:
        clusters: passed and judged trials of each; those without a judged one are left out.
        level: of confidence.
    """
    counted = [(passed, trials) for passed, trials in clusters if trials]
    if not counted:
        return None
    number = sum(trials for _, trials in counted)
    share = sum(passed for passed, _ in counted) / number
    return wilson(share, _effective(counted, share, number), level)


def _effective(counted: list[tuple[int, int]], share: float, number: int) -> float:
    groups = len(counted)
    if groups == number:
        return number
    if groups == 1 or not 0 < share < 1:
        return groups
    between = sum((passed - share * trials) ** 2 for passed, trials in counted)
    variance = between * groups / (groups - 1) / number**2
    independent = share * (1 - share) / number
    if variance <= independent:
        return number
    return max(groups, number * independent / variance)
