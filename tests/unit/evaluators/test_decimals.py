"""Numbers in texts."""

import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacabench.evaluators.decimals import MAX_DIGITS, from_json, read_number, within
from pacabench.evaluators.matching import MAX_CHARACTERS

FINITE = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15)


class TestReading:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("18", "18"),
            ("  18.  ", "18"),
            ("007", "7"),
            ("1,234,567.89", "1234567.89"),
            ("1,000,", "1000"),
            ("1,2345", "2345"),
            ("1,234,56", "56"),
            ("1.234,5", "5"),
            ("0,123", "123"),
            ("12,345 and 6", "6"),
            ("1\u202f234,5", "5"),
            ("1\u2009234.5", "1234.5"),
            ("-1 234 567", "-1234567"),
            ("$ 1 234", "234"),
            ("+7", "7"),
            ("-.5", "-0.5"),
            ("No.5", "5"),
            ("...5", "5"),
            ("1.2.3", "3"),
            ("--3", "3"),
            ("(2)-3", "3"),
            ("5\u201310", "10"),
            ("\u201310", "-10"),
            ("\uff0d\uff11\uff12\uff0e\uff15", "-12.5"),
            ("$1,000-$2,000", "2000"),
            ("-$-5", "5"),
            ("US$5", "5"),
            ("\u20ac1.50", "1.50"),
            ("5km", "5"),
            ("2nd", "2"),
            ("5e", "5"),
            ("2.5E-3", "0.0025"),
            ("_42_", "42"),
            ("\\boxed{42}", "42"),
            ("1\\,234", "1234"),
            ("is 1/2.", "0.5"),
            ("-3/4", "-0.75"),
            ("1/2/3", "3"),
            ("10:30", "30"),
            ("x=-5", "-5"),
            ("GPT4 says 3", "3"),
        ],
    )
    def test_a_number_is_read_as_people_mean_it(self, text: str, number: str) -> None:
        assert read_number(text) == Decimal(number)

    @pytest.mark.parametrize(
        "text",
        ["", "none", "H2O", "x\u00b2", "8/0", "Infinity", "nan", "\u0663", "-", "$", "1e401"],
    )
    def test_what_is_no_number_is_none(self, text: str) -> None:
        assert read_number(text) is None

    @pytest.mark.parametrize(
        "text",
        ["9" * (MAX_DIGITS + 1), "1e999999999", "1e-999999999", "1e" + "9" * 1000, "1" * 100_000],
    )
    def test_a_number_out_of_bounds_is_none_and_not_its_part(self, text: str) -> None:
        assert read_number(f"5 {text}") is None

    def test_a_long_number_within_bounds_is_exact(self) -> None:
        assert read_number("9" * MAX_DIGITS) == Decimal("9" * MAX_DIGITS)

    @settings(deadline=None)
    @given(FINITE)
    def test_what_python_writes_is_read_back(self, number: Decimal) -> None:
        assert read_number(f"the answer is {number:f}.") == number
        assert read_number(f"**${number:,f}**") == number

    @settings(deadline=None)
    @given(FINITE)
    def test_json_numbers_are_what_was_written(self, number: Decimal) -> None:
        value = float(number)
        assert float(from_json(value)) == value

    @settings(deadline=None)
    @given(st.text(alphabet="0123456789.,-+$%/eE _\u00a0\u2212()x", max_size=60))
    def test_any_text_is_a_bounded_number_or_none(self, text: str) -> None:
        number = read_number(text)
        if number is not None:
            assert number.is_finite()
            assert len(number.as_tuple().digits) <= MAX_DIGITS
            assert abs(number.adjusted()) <= MAX_DIGITS

    @pytest.mark.parametrize(
        "piece",
        [
            "1",
            "1,234",
            ",234",
            "-",
            "$-",
            "1,",
            "1/",
            "/1",
            "1e",
            ".",
            ".1",
            "1 ",
            " 234",
            "a1",
            "{,}",
            "(-",
        ],
    )
    def test_the_longest_hostile_text_is_read_in_seconds(self, piece: str) -> None:
        text = "1" + piece * (MAX_CHARACTERS // len(piece)) + "5"
        began = time.process_time()
        read_number(text)
        assert time.process_time() - began < 10


class TestComparing:
    def test_is_exact(self) -> None:
        assert within(Decimal("0.1"), Decimal("0.10"), Decimal(0))
        assert not within(Decimal(10**399), Decimal(10**399 + 1), Decimal(0))
        assert not within(Decimal("1e400"), Decimal("1e-400"), Decimal(1))
        assert not within(Decimal("1." + "0" * 40 + "1"), Decimal("0.9"), Decimal("0.1"))
        assert not within(Decimal("1e-400"), Decimal("2e-400"), Decimal(0))

    def test_the_tolerance_is_included(self) -> None:
        assert within(Decimal("1.1"), Decimal("1.0"), from_json(0.1))
        assert not within(Decimal("1.1001"), Decimal("1.0"), from_json(0.1))
