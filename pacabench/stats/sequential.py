"""A test that may be looked at after every pair, and stopped whenever it has seen enough.

Pairs in which just one agent is right are flips of a coin, fair where the agents are equally good.
Its likelihood under all coins alike (a uniform mixture) over that under one coin is a martingale if
that coin is the true one, so it ever reaches ``1 / alpha`` with a chance of ``alpha`` at most
(Ville's inequality), however often it is looked at. Coins that it has not refuted are an interval
that is valid at all times at once. H. Robbins, "Statistical Methods Related to the Law of the
Iterated Logarithm", Annals of Mathematical Statistics 41 (1970); S. R. Howard, A. Ramdas,
J. McAuliffe and J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
Annals of Statistics 49 (2021). As a test of equality it is a mixture SPRT: R. Johari, P. Koomen,
L. Pekelis and D. Walsh, "Peeking at A/B Tests", KDD (2017).
"""

from itertools import count
from math import exp, inf, lgamma, log

from pacabench.stats.comparison import ALPHA
from pacabench.stats.intervals import Interval

_HALVINGS = 60


def log_evidence(only_a: int, only_b: int, share_b: float = 0.5) -> float:
    """Logarithm of the evidence against the coin that falls for B with chance ``share_b``."""
    flips = only_a + only_b
    mixed = lgamma(only_a + 1) + lgamma(only_b + 1) - lgamma(flips + 2)
    return mixed - _log_likelihood(only_a, only_b, share_b)


def always_valid_p(only_a: int, only_b: int) -> float:
    """A p-value that holds whenever it is looked at: that both agents are equally good."""
    return min(1.0, exp(-log_evidence(only_a, only_b)))


def is_decided(only_a: int, only_b: int, alpha: float = ALPHA) -> bool:
    """The fair coin is refuted."""
    return log_evidence(only_a, only_b) >= log(1 / alpha)


def can_be_decided(
    only_a: int, only_b: int, open_to_a: int, open_to_b: int, alpha: float = ALPHA
) -> bool:
    """Some outcome of the pairs that are left refutes the fair coin, now or at any later look.

    The evidence for a side that leads grows with each flip to it and shrinks with each to the
    other, so nothing goes further than all that can go to one side. To stop where this is false
    gives up no decision, and so changes neither the test's error nor its power.

    Args:
        only_a: pairs that A alone had right.
        only_b: pairs that B alone had right.
        open_to_a: pairs to come that A alone may have right.
        open_to_b: pairs to come that B alone may have right.
        alpha: as everywhere.
    """
    return (
        is_decided(only_a, only_b, alpha)
        or is_decided(only_a + open_to_a, only_b, alpha)
        or is_decided(only_a, only_b + open_to_b, alpha)
    )


def fewest_flips(alpha: float = ALPHA) -> int:
    """How many pairs decide it if one side alone has all of them right."""
    return next(flips for flips in count() if is_decided(flips, 0, alpha))


def always_valid_share(only_a: int, only_b: int, alpha: float = ALPHA) -> Interval:
    """Bounds of B's share of the pairs in which just one is right, valid at all times at once."""
    if not only_a + only_b:
        return Interval(0.0, 1.0)
    best = only_b / (only_a + only_b)

    def edge(outer: float) -> float:
        inner = best
        for _ in range(_HALVINGS):
            middle = (inner + outer) / 2
            if log_evidence(only_a, only_b, middle) < log(1 / alpha):
                inner = middle
            else:
                outer = middle
        return inner

    return Interval(edge(0.0) if only_b else 0.0, edge(1.0) if only_a else 1.0)


def _log_likelihood(only_a: int, only_b: int, share_b: float) -> float:
    return _times_log(only_b, share_b) + _times_log(only_a, 1 - share_b)


def _times_log(count: int, share: float) -> float:
    if not count:
        return 0.0
    return count * log(share) if share > 0 else -inf
