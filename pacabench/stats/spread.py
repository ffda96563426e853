"""How values lie: median, tail and mean."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum


@dataclass(frozen=True, slots=True)
class Spread:
    """Some values in four figures."""

    count: int
    """How many values there were; what is not known is none of them."""
    p50: float | None
    p95: float | None
    mean: float | None


def spread_of(values: Iterable[float]) -> Spread:
    """The spread of ``values``; all figures are None where there is no value."""
    ordered = sorted(values)
    mean = fsum(ordered) / len(ordered) if ordered else None
    return Spread(len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.95), mean)


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which ``share`` (0.0 to 1.0) of ``ordered`` lies, interpolated linearly.

    The method of numpy's default and of R's type 7: rank ``(n - 1) * share``, see Hyndman and Fan,
    "Sample Quantiles in Statistical Packages" (1996). ``ordered`` ascends; None when it is empty.
    """
    if not ordered:
        return None
    rank = (len(ordered) - 1) * share
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return min(max(low + (high - low) * (rank - below), low), high)
