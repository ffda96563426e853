"""Columns of a case's row, whether agents see them or not."""

from pacabench.columns import MISSING, find
from pacabench.model import JSON, Case


def column_of(case: Case, column: str) -> JSON:
    """The value of ``column`` in the row of ``case``; None where there is none.

    Also what ``hide`` names, and what stands beside the expected answer.
    """
    value = find({**case.metadata, **case.withheld}, column)
    return None if value is MISSING else value
