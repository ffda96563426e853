"""What is said of a run that ``--stop-when-decided`` ended."""

from pacabench.report.wording import decided
from pacabench.store import DecisionRecord


def record(winner: str | None, **more: object) -> DecisionRecord:
    return DecisionRecord.model_validate(
        {
            "at": "2026-01-01T00:00:00Z",
            "agents": ("old", "new"),
            "winner": winner,
            "alpha": 0.05,
            "pairs": 90,
            "pairs_planned": 100,
            "only_a": 4,
            "only_b": 4,
            "p_value": 1.0,
            "share_b_low": 0.1,
            "share_b_high": 0.9,
            "not_run": {"old": 10, "new": 9},
            "saved_usd": 1.5,
        }
        | more
    )


def test_a_decision_names_the_better_one_and_what_was_saved() -> None:
    said = decided(record("new"))
    assert said.startswith("Decided: `new` is better than `old`, after 90 of 100 pairs")
    assert "19 cases not run, which saved about $1.50." in said


def test_out_of_reach_says_how_large_the_difference_can_be_and_what_was_saved() -> None:
    said = decided(record(None, out_of_reach=True, difference_low=-0.1, difference_high=0.08))
    assert said.startswith("Undecided which of `old` and `new` is better, and out of reach: after")
    assert "`new` less `old` would be between -10.0% and +8.0% over all pairs" in said
    assert "no difference of more than 10.0% to be found here" in said
    assert said.endswith("19 cases not run, which saved about $1.50.")


def test_undecided_by_all_pairs_saved_nothing() -> None:
    said = decided(record(None, not_run={"old": 0, "new": 0}, saved_usd=0.0))
    assert said.startswith("Undecided which of `old` and `new` is better after 90")
    assert "saved" not in said


def test_a_manifest_of_before_has_no_reach() -> None:
    assert not record(None).stopped_early
    assert record("old").stopped_early
