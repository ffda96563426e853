"""Figures against books kept by hand: nothing twice, nothing left out, unknown is not zero."""

import statistics
from collections import defaultdict
from dataclasses import fields
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.figures import CallFigures
from pacabench.model import CaseKey, CaseResult, MeteredCall, Outcome, Usage
from pacabench.stats import AgentSummary, Counts, Summary, add_up, percentile, summarise
from pacabench.testing.records import fake_key, fake_metered, fake_result

finite = st.floats(min_value=0, max_value=1e9, allow_nan=False)


def only(summary: Summary) -> AgentSummary:
    (agent,) = summary.agents
    return agent


def results_of(*outcomes: Outcome) -> list[CaseResult]:
    return [
        fake_result(fake_key(f"case-{number}"), outcome) for number, outcome in enumerate(outcomes)
    ]


class TestPercentile:
    def test_of_nothing_is_unknown(self) -> None:
        assert percentile([], 0.5) is None

    @pytest.mark.parametrize(
        ("values", "share", "expected"),
        [
            ([7.0], 0.95, 7.0),
            ([1.0, 2.0], 0.5, 1.5),
            ([1.0, 2.0, 3.0, 4.0], 0.5, 2.5),
            # numpy.percentile([15, 20, 35, 40, 50], 40) == 29.0
            ([15.0, 20.0, 35.0, 40.0, 50.0], 0.4, 29.0),
            # numpy.percentile(range(1, 101), 95) == 95.05
            ([float(number) for number in range(1, 101)], 0.95, 95.05),
        ],
    )
    def test_interpolates_as_numpy_does(
        self, values: list[float], share: float, expected: float
    ) -> None:
        assert percentile(values, share) == pytest.approx(expected)

    @given(st.lists(finite, min_size=2))
    def test_agrees_with_the_standard_library(self, values: list[float]) -> None:
        expected = statistics.quantiles(values, n=100, method="inclusive")
        values.sort()
        for percent in (1, 50, 95, 99):
            assert percentile(values, percent / 100) == pytest.approx(expected[percent - 1])

    @given(st.lists(finite, min_size=1), st.floats(0, 1))
    def test_lies_within_the_values(self, values: list[float], share: float) -> None:
        values.sort()
        found = percentile(values, share)
        assert found is not None
        assert values[0] <= found <= values[-1]


class TestOutcomes:
    def test_accuracy_is_of_judged_cases_only(self) -> None:
        agent = only(
            summarise(
                results_of(
                    Outcome.PASSED, Outcome.PASSED, Outcome.PASSED, Outcome.FAILED,
                    Outcome.TIMEOUT, Outcome.PROVIDER_ERROR, Outcome.CANCELLED,
                ),
                [],
                {"agent": {"data": 10}},
            )
        )  # fmt: skip
        assert (agent.passed, agent.failed, agent.infrastructure) == (3, 2, 2)
        assert (agent.pending, agent.cases) == (3, 10)
        assert agent.accuracy == pytest.approx(3 / 5)

    def test_accuracy_of_nothing_judged_is_unknown(self) -> None:
        agent = only(summarise(results_of(Outcome.SANDBOX_ERROR), []))
        assert agent.accuracy is None
        assert agent.per_case.latency_ms.p50 is None

    def test_the_last_attempt_of_a_case_decides(self) -> None:
        key = fake_key()
        summary = summarise(
            [
                fake_result(key, Outcome.PASSED, duration_ms=1.0),
                fake_result(key, Outcome.SANDBOX_ERROR, duration_ms=2.0),
                fake_result(key, Outcome.FAILED, duration_ms=3.0),
            ],
            [],
        )
        agent = only(summary)
        assert (agent.cases, agent.passed, agent.failed, agent.infrastructure) == (1, 0, 1, 0)
        assert agent.attempts == 3
        assert agent.per_case.latency_ms.p50 == 3.0
        case = summary.cases[key]
        assert (case.attempts, case.outcome, case.score) == (3, Outcome.FAILED, 0.0)

    def test_latency_leaves_out_what_the_infrastructure_did(self) -> None:
        results = [
            fake_result(fake_key("1"), Outcome.PASSED, duration_ms=100.0),
            fake_result(fake_key("2"), Outcome.TIMEOUT, duration_ms=300.0),
            fake_result(fake_key("3"), Outcome.CANCELLED, duration_ms=9999.0),
        ]
        agent = only(summarise(results, []))
        assert agent.per_case.latency_ms.p50 == 200.0
        assert agent.per_case.latency_ms.p95 == pytest.approx(290.0)

    @given(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.sampled_from("de"), st.integers(0, 5),
                      st.sampled_from(Outcome)), max_size=40,
        ),
        st.integers(0, 8),
    )  # fmt: skip
    def test_every_planned_case_is_counted_exactly_once(
        self, attempts: list[tuple[str, str, int, Outcome]], planned: int
    ) -> None:
        results = [
            fake_result(CaseKey(agent, data, str(case)), outcome)
            for agent, data, case, outcome in attempts
        ]
        plan = {agent: dict.fromkeys("de", planned) for agent in "ab"}
        summary = summarise(results, [], plan)
        last = {result.key: result.outcome for result in results}
        for agent in (*summary.agents, summary.total):
            parts = agent.passed + agent.failed + agent.infrastructure + agent.pending
            assert parts == agent.cases
            assert agent.accuracy is None or 0 <= agent.accuracy <= 1
        assert summary.total.passed == sum(o is Outcome.PASSED for o in last.values())
        assert summary.total.infrastructure == sum(o.is_infrastructure for o in last.values())
        assert summary.total.attempts == len(results)
        assert summary.total.outcomes == {
            outcome: list(last.values()).count(outcome) for outcome in set(last.values())
        }


class TestGroups:
    def test_planned_agents_and_data_sets_come_in_their_order_also_without_results(self) -> None:
        summary = summarise([], [], {"b": {"y": 1, "x": 2}, "a": {"y": 1}})
        assert [(agent.agent, agent.dataset, agent.pending) for agent in summary.agents] == [
            ("b", "y", 1), ("b", "x", 2), ("a", "y", 1),
        ]  # fmt: skip
        assert (summary.total.cases, summary.total.pending) == (4, 4)

    def test_results_of_an_agent_that_is_no_longer_planned_stay(self) -> None:
        gone = fake_result(fake_key(agent="gone"))
        summary = summarise([gone], [], {"agent": {"data": 1}})
        assert [(agent.agent, agent.cases) for agent in summary.agents] == [
            ("agent", 1), ("gone", 1),
        ]  # fmt: skip
        assert summary.total.cases == 2


class TestCalls:
    def test_of_every_attempt_count_also_of_those_that_do_not_decide(self) -> None:
        key = fake_key()
        first, second = fake_result(key, Outcome.CANCELLED), fake_result(key, Outcome.PASSED)
        never_ended = fake_result(fake_key("case-2"))
        usage = Usage(input_tokens=10, cached_tokens=30, cache_write_tokens=2, output_tokens=5,
                      reasoning_tokens=4)  # fmt: skip
        calls = [fake_metered(result, 0.5, usage=usage) for result in (first, second, never_ended)]
        summary = summarise([first, second], calls, {"agent": {"data": 2}})
        figures = only(summary).usage
        assert figures.calls == 3
        assert figures.input_tokens == 3 * 42
        assert figures.output_tokens == 3 * 5
        assert figures.cached_tokens == 3 * 30
        assert figures.reasoning_tokens == 3 * 4
        assert figures.cost_usd == 1.5
        assert summary.cases[key].usage.calls == 2
        assert summary.total.usage == figures

    def test_what_was_not_billed_is_counted_apart(self) -> None:
        result = fake_result()
        calls = [
            fake_metered(result),
            fake_metered(result, 0.0, end="denied", status=None, usage=None),
            fake_metered(result, 0.0, status=429, usage=None),
            fake_metered(result, 0.0, end="upstream_error", status=None, usage=None),
            fake_metered(result, 0.0, endpoint="models", usage=None),
        ]
        figures = only(summarise([result], calls)).usage
        assert (figures.calls, figures.failed_calls, figures.denied_calls) == (1, 2, 1)
        assert (figures.uncounted_calls, figures.unpriced_calls) == (0, 0)

    def test_calls_that_were_cut_off_are_there_without_tokens(self) -> None:
        result = fake_result()
        calls = [
            fake_metered(result, 0.001),
            fake_metered(result, None, end="interrupted", status=None, usage=None),
            fake_metered(result, None, end="client_gone", status=200, usage=None),
        ]
        figures = only(summarise([result], calls)).usage
        assert (figures.calls, figures.uncounted_calls, figures.unpriced_calls) == (3, 2, 2)
        assert (figures.input_tokens, figures.output_tokens) == (10, 5)
        assert (figures.cost_usd, figures.cost_incomplete) == (0.001, True)


class TestUnknownIsNotZero:
    def test_without_calls_everything_is_zero(self) -> None:
        figures = CallFigures()
        assert (figures.input_tokens, figures.output_tokens, figures.cached_tokens) == (0, 0, 0)
        assert (figures.cost_usd, figures.cost_incomplete) == (0.0, False)

    def test_sums_without_any_known_part_are_unknown(self) -> None:
        figures = CallFigures()
        figures.add(fake_metered(fake_result(), None, usage=None))
        assert figures.input_tokens is None
        assert figures.output_tokens is None
        assert figures.cached_tokens is None
        assert figures.reasoning_tokens is None
        assert (figures.cost_usd, figures.cost_incomplete) == (None, True)

    def test_half_a_usage_makes_half_unknown(self) -> None:
        figures = CallFigures()
        figures.add(fake_metered(fake_result(), None, usage=Usage(output_tokens=5)))
        assert (figures.input_tokens, figures.output_tokens) == (None, 5)
        assert figures.uncounted_calls == 1

    def test_embeddings_have_no_output_and_that_is_known(self) -> None:
        figures = CallFigures()
        figures.add(fake_metered(fake_result(), endpoint="embeddings", usage=Usage(input_tokens=7)))
        assert (figures.input_tokens, figures.output_tokens, figures.uncounted_calls) == (7, 0, 0)

    def test_a_provider_that_says_nothing_of_a_cache_read_nothing_from_one(self) -> None:
        figures = CallFigures()
        figures.add(fake_metered(fake_result(), usage=Usage(input_tokens=7, output_tokens=1)))
        assert (figures.cached_tokens, figures.reasoning_tokens) == (0, 0)

    def test_the_scripted_provider_costs_nothing_real(self) -> None:
        result = fake_result()
        summary = summarise([result], [fake_metered(result, None, provider="scripted")])
        figures = only(summary).usage
        assert summary.scripted
        assert (figures.cost_usd, figures.scripted_calls) == (None, 1)
        assert (figures.unpriced_calls, figures.cost_incomplete) == (0, False)


class TestCases:
    def test_ttft_is_of_the_deciding_attempts_first_call_that_has_one(self) -> None:
        key = fake_key()
        first, second = fake_result(key, Outcome.CANCELLED), fake_result(key)
        calls = [
            fake_metered(first, started_at=1.0, ttft_ms=1.0),
            fake_metered(second, started_at=30.0, ttft_ms=30.0),
            fake_metered(second, started_at=20.0, ttft_ms=20.0),
            fake_metered(second, started_at=40.0, ttft_ms=40.0),
            fake_metered(second, started_at=10.0, ttft_ms=None),
        ]
        assert summarise([first, second], calls).cases[key].ttft_ms == 20.0

    def test_without_an_evaluation_there_is_no_score(self) -> None:
        results = results_of(Outcome.TIMEOUT)
        assert summarise(results, []).cases[results[0].key].score is None


@st.composite
def usages(draw: st.DrawFn) -> Usage | None:
    tokens = st.none() | st.integers(0, 10_000)
    if draw(st.booleans()):
        return None
    return Usage(*(draw(tokens) for _ in range(5)))


class TestSumsAreExact:
    @given(st.lists(st.tuples(usages(), st.none() | st.integers(0, 10**9)), max_size=30))
    def test_whatever_the_order_and_the_grouping(
        self, drawn: list[tuple[Usage | None, int | None]]
    ) -> None:
        calls: list[MeteredCall] = []
        for number, (usage, nanos) in enumerate(drawn):
            result = fake_result(fake_key(str(number % 3), agent=f"a{number % 2}"))
            price = None if nanos is None else nanos / 1e9
            calls.append(fake_metered(result, price, usage=usage))
        forward = summarise([], calls).total.usage
        backward = summarise([fake_result(fake_key("0", agent="a0"))], calls[::-1]).total.usage
        assert forward == backward
        prices = [Fraction(nanos, 10**9) for _, nanos in drawn if nanos is not None]
        if prices or not drawn:
            assert forward.cost_usd == float(sum(prices, Fraction()))
        known = [u.total_input_tokens for u, _ in drawn if u and u.total_input_tokens is not None]
        assert forward.input_tokens == (sum(known) if known or not drawn else None)


def counts(summary: AgentSummary) -> Counts:
    return Counts(**{item.name: getattr(summary, item.name) for item in fields(Counts)})


class TestAddUp:
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["a1", "a2"]),
                st.sampled_from(["d1", "d2"]),
                st.integers(0, 3),
                st.sampled_from(list(Outcome)),
                st.integers(0, 2),
                finite,
            )
        ),
        st.integers(0, 5),
    )
    def test_comes_to_what_the_whole_journal_does(
        self, entries: list[tuple[str, str, int, Outcome, int, float]], planned: int
    ) -> None:
        results, calls = [], []
        usage: defaultdict[tuple[str, str], CallFigures] = defaultdict(CallFigures)
        for agent, dataset, number, outcome, made, duration_ms in entries:
            key = CaseKey(agent, dataset, str(number))
            results.append(fake_result(key, outcome, duration_ms=duration_ms))
            for _ in range(made):
                calls.append(fake_metered(results[-1]))
                usage[agent, dataset].add(calls[-1])
        plan = {"a1": {"d1": planned}, "a3": {"d1": planned}}
        whole = summarise(results, calls, plan)
        verdicts = [result.verdict for result in results]
        deciding = {verdict.key: verdict for verdict in verdicts}
        found = add_up(verdicts, deciding, usage, plan)
        assert list(found.agents) == [counts(agent) for agent in whole.agents]
        assert found.total == counts(whole.total)


class TestCutShort:
    def test_attempts_that_a_budget_ended_decide_nothing_and_cost_what_they_cost(self) -> None:
        first, second = fake_key("case-1"), fake_key("case-2")
        right = fake_result(first)
        cut = [
            fake_result(key, Outcome.BUDGET_EXCEEDED, budget=scope)
            for key, scope in ((first, "run"), (second, "agent"))
        ]
        calls = [fake_metered(result, 0.5) for result in (right, *cut)]
        found = only(summarise([right, *cut], calls, {"agent": {"data": 2}}))
        assert (found.passed, found.failed, found.pending) == (1, 0, 1)
        assert (found.attempts, found.cut_short) == (3, 2)
        assert found.usage.cost_usd == 1.5
        assert found.accuracy == 1.0

    def test_one_that_the_budget_of_its_case_ended_decides_it(self) -> None:
        over = fake_result(fake_key(), Outcome.BUDGET_EXCEEDED, budget="case")
        found = only(summarise([fake_result(), over], []))
        assert (found.failed, found.cut_short) == (1, 0)


def test_other_models_and_counted_refusals_add_up() -> None:
    result = fake_result()
    calls = [
        fake_metered(result, other_model=True),
        fake_metered(result, end="denied", status=None),
        fake_metered(result, end="denied", status=None, count=40),
    ]
    usage = only(summarise([result], calls)).usage
    assert (usage.calls, usage.other_model_calls, usage.denied_calls) == (1, 1, 41)
