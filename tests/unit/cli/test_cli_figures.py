"""Short numbers for progress."""

import pytest

from pacabench.cli.figures import (
    short_age,
    short_count,
    short_duration,
    short_eta,
    short_size,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0"),
        (999, "999"),
        (1000, "1.00k"),
        (12_345, "12.3k"),
        (123_456, "123k"),
        (4_560_000, "4.56M"),
        (7_890_000_000, "7.89G"),
    ],
)
def test_counts(count: int | None, text: str) -> None:
    assert short_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2s"), (187.9, "3:07"), (7387, "2:03:07"), (59.96, "60.0s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (4.4, "4s"), (59.6, "1:00"), (3600, "1:00:00")]
)
def test_times_that_are_left(seconds: float | None, text: str) -> None:
    assert short_eta(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(131_000_000, "131 MB"), (2_340_000_000, "2.34 GB")]
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert short_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s ago"), (59, "59s ago"), (3599, "59min ago"), (7200, "2h ago"), (200_000, "2d ago")],
)
def test_ages(seconds: float, text: str) -> None:
    assert short_age(seconds) == text
