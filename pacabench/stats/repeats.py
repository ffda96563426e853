"""What epochs tell: whether an agent can solve a case at all, and whether it does so each time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, fsum
from statistics import stdev


@dataclass(frozen=True, slots=True)
class AtK:
    """One ``k`` of pass@k and pass^k."""

    k: int
    cases: int
    """Those with at least ``k`` judged epochs, over which both are averaged."""
    pass_at: float
    """Chance that at least one of ``k`` epochs passes."""
    pass_hat: float
    """Chance that all of ``k`` epochs pass."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """One agent on one data set, in several epochs."""

    accuracies: Mapping[int, float]
    """Epoch to the accuracy in it; only epochs with a judged case."""
    at: Sequence[AtK]
    """For k = 1, 2, 4, ... and the largest number of judged epochs that a case has."""

    @property
    def mean(self) -> float:
        """Of the epochs' accuracies."""
        return fsum(self.accuracies.values()) / len(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the epochs' accuracies; None for a single one."""
        return stdev(self.accuracies.values()) if len(self.accuracies) > 1 else None


def pass_at_k(judged: int, passed: int, k: int) -> float:
    """Chance that at least one of ``k`` epochs, drawn from the ``judged`` ones, passed.

    The unbiased estimator of M. Chen et al., "Evaluating Large Language Models Trained on Code",
    arXiv:2107.03374 (2021), section 2.1: one minus the share of draws without a passed one.
    """
    return 1 - comb(judged - passed, k) / comb(judged, k)


def pass_hat_k(judged: int, passed: int, k: int) -> float:
    """Chance that all of ``k`` epochs, drawn from the ``judged`` ones, passed.

    The unbiased estimator of S. Yao et al., "tau-bench: A Benchmark for Tool-Agent-User
    Interaction in Real-World Domains", arXiv:2406.12045 (2024), section 3.
    """
    return comb(passed, k) / comb(judged, k)


def repeats_of(
    epochs: Mapping[int, tuple[int, int]], cases: Sequence[tuple[int, int]]
) -> Repeats | None:
    """What repetition tells; None where no case was judged more than once.

    Args:
        epochs: epoch to how many cases passed and were judged in it.
        cases: how often each case passed and was judged, over all epochs.
    """
    most = max((judged for _, judged in cases), default=0)
    if most <= 1:
        return None
    accuracies = {
        epoch: passed / judged for epoch, (passed, judged) in sorted(epochs.items()) if judged
    }
    return Repeats(accuracies, [_at(k, cases) for k in _ks(most)])


def _ks(most: int) -> list[int]:
    return sorted({most, *(1 << power for power in range(most.bit_length()))})


def _at(k: int, cases: Sequence[tuple[int, int]]) -> AtK:
    enough = [(judged, passed) for passed, judged in cases if judged >= k]
    number = len(enough)
    return AtK(
        k=k,
        cases=number,
        pass_at=fsum(pass_at_k(judged, passed, k) for judged, passed in enough) / number,
        pass_hat=fsum(pass_hat_k(judged, passed, k) for judged, passed in enough) / number,
    )
