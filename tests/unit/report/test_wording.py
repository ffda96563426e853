"""Figures as people read them."""

import pytest

from pacabench.report.wording import dollars
from pacabench.stats import CallFigures
from pacabench.testing.records import fake_metered, fake_result


@pytest.mark.parametrize(
    ("cost_usd", "shown"),
    [
        (0.0, "$0.0000"),
        (0.000024, "<$0.0001"),
        (0.00006, "$0.0001"),
        (0.5, "$0.5000"),
        (1234.567, "$1,234.57"),
        (None, "?"),
    ],
)
def test_a_cost_that_is_little_is_not_shown_as_none(cost_usd: float | None, shown: str) -> None:
    figures = CallFigures()
    figures.add(fake_metered(fake_result(), cost_usd))
    assert dollars(figures) == shown
