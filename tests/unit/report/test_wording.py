"""Figures as people read them."""

import pytest

from pacabench.figures import CallFigures
from pacabench.report.wording import dollars, tokens
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


def test_sums_with_an_estimate_in_them_are_marked() -> None:
    figures, result = CallFigures(), fake_result()
    figures.add(fake_metered(result, 0.5))
    assert (tokens(figures.input_tokens, figures), dollars(figures)) == ("10", "$0.5000")
    figures.add(fake_metered(result, 0.5, estimated=True, usage_source="estimated"))
    assert figures.estimated_calls == 1
    assert (tokens(figures.input_tokens, figures), dollars(figures)) == ("~20", "~$1.00")
    figures.add(fake_metered(result, None, usage=None))
    assert tokens(figures.input_tokens, figures) == "~20+?"
