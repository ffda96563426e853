"""Token counts, whatever a provider says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.model import Usage
from pacabench.proxy.usage import bounded, count, openai_usage, usage_source

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "prompt_tokens",
                    "completion_tokens",
                    "input_tokens",
                    "output_tokens",
                    "prompt_tokens_details",
                    "completion_tokens_details",
                    "input_tokens_details",
                    "output_tokens_details",
                    "cached_tokens",
                    "reasoning_tokens",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
COUNTS = st.integers(0, 2**53 - 1)


class TestCount:
    @pytest.mark.parametrize("value", [0, 1, 2**53 - 1])
    def test_whole_numbers_are_counts(self, value: int) -> None:
        assert count(value) == value

    @pytest.mark.parametrize(
        "value", [-1, 2**53, True, False, 1.0, "1", None, [], {}, float("nan")]
    )
    def test_nothing_else_is(self, value: object) -> None:
        assert count(value) is None


class TestOpenAI:
    def test_cached_tokens_are_taken_out_of_the_prompts(self) -> None:
        raw = {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 20},
        }
        assert openai_usage(raw) == Usage(36, 64, None, 50, 20)

    @pytest.mark.parametrize(
        ("total", "output", "reasoning"),
        [(800, 763, 233), (567, 530, 233), (None, 530, 233), (801, 530, 233)],
        ids=["on top", "inside", "no total", "a total of nothing"],
    )
    def test_the_total_tells_of_reasoning_that_is_counted_beside_the_completion(
        self, total: int | None, output: int, reasoning: int
    ) -> None:
        raw = {
            "prompt_tokens": 37,
            "completion_tokens": 530,
            "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 233},
        }
        assert openai_usage(raw) == Usage(37, None, None, output, reasoning)

    def test_reasoning_is_never_more_than_the_output(self) -> None:
        raw = {"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 9}}
        assert openai_usage(raw) == Usage(None, None, None, 5, 5)

    def test_the_responses_api_has_other_names_for_the_same(self) -> None:
        raw = {
            "input_tokens": 100,
            "output_tokens": 50,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens_details": {"reasoning_tokens": 20},
        }
        assert openai_usage(raw) == Usage(36, 64, None, 50, 20)

    def test_details_that_are_not_given_are_unknown_and_not_zero(self) -> None:
        raw = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": None}
        assert openai_usage(raw) == Usage(7, None, None, 3, None)

    def test_more_cached_tokens_than_there_are_leave_the_sum_as_billed(self) -> None:
        raw = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99}}
        usage = openai_usage(raw)
        assert (usage.input_tokens, usage.total_input_tokens) == (0, 10)

    @pytest.mark.parametrize("raw", [{}, {"total_tokens": 5}, {"prompt_tokens": "7"}])
    def test_no_count_at_all_is_no_usage(self, raw: dict) -> None:
        assert openai_usage(raw) is None

    @given(st.dictionaries(st.text(max_size=20), JSON, max_size=6) | JSON)
    def test_no_json_makes_it_raise_or_count_below_zero(self, raw: object) -> None:
        if not isinstance(raw, dict):
            return
        usage = openai_usage(raw)
        if usage is not None:
            parts = (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
            assert all(part is None or 0 <= part < 2**53 for part in parts)

    @given(COUNTS, COUNTS, COUNTS)
    def test_the_parts_of_the_input_add_up_to_what_is_billed(
        self, prompt: int, cached: int, output: int
    ) -> None:
        raw = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        usage = openai_usage(raw)
        assert usage.total_input_tokens == prompt
        assert usage.output_tokens == output


class TestSource:
    def test_it_says_how_much_the_provider_told(self) -> None:
        assert usage_source(None) == "none"
        assert usage_source(Usage(input_tokens=1)) == "partial_provider"
        assert usage_source(Usage(input_tokens=1, output_tokens=0)) == "provider"


class TestBounded:
    def test_what_is_too_long_or_too_deep_is_not_kept(self) -> None:
        deep: dict = {}
        for _ in range(400):
            deep = {"a": deep}
        assert bounded({"a": 1}) == {"a": 1}
        assert bounded({"a": "x" * 10_000}) is None
        assert bounded(deep) is None
