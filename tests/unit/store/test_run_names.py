"""Names of runs and files: made of safe characters, whatever they are about."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.errors import UsageError
from pacabench.model import new_attempt_id
from pacabench.store.names import check_run_id, log_name, new_run_id, service_log_name
from pacabench.testing.records import fake_key


class TestNewRunId:
    def test_says_what_and_when_and_is_never_the_same(self) -> None:
        first, second = (new_run_id("Memory Benchmark") for _ in range(2))
        assert re.fullmatch(r"memory-benchmark-\d{8}-\d{6}-[0-9a-f]{4}", first)
        assert first != second

    def test_strips_accents_and_falls_back_where_nothing_is_left(self) -> None:
        assert new_run_id("Métrique é").startswith("metrique-e-2")
        assert new_run_id("基准").startswith("run-2")

    @given(st.text())
    def test_is_a_valid_id_for_every_name(self, name: str) -> None:
        run_id = new_run_id(name)
        assert check_run_id(run_id) == run_id


class TestCheckRunId:
    @pytest.mark.parametrize("run_id", ["a", "2026.run_1-b", "x" * 100])
    def test_lets_safe_names_through(self, run_id: str) -> None:
        assert check_run_id(run_id) == run_id

    @pytest.mark.parametrize("run_id", ["", "..", "-a", "a b", "a/b", "a\n", "a\0", "x" * 101, "ä"])
    def test_refuses_others_and_says_what_is_allowed(self, run_id: str) -> None:
        with pytest.raises(UsageError, match="letters, digits, dots, dashes"):
            check_run_id(run_id)


class TestLogName:
    def test_is_made_of_the_attempt_alone(self) -> None:
        attempt_id = new_attempt_id(fake_key("../../../x"))
        assert log_name(attempt_id) == f"{attempt_id}.log"

    @pytest.mark.parametrize("attempt_id", ["", "../x", "0123456789abcdef-0123456g", "a" * 25])
    def test_refuses_what_is_no_attempt_id(self, attempt_id: str) -> None:
        with pytest.raises(ValueError, match="no attempt id"):
            log_name(attempt_id)


class TestServiceLogName:
    @given(st.text(), st.text())
    def test_is_a_safe_name_whatever_the_service_is_called(self, agent: str, service: str) -> None:
        assert re.fullmatch(
            r"service-[a-z0-9-]+-[0-9a-f]{8}\.log", service_log_name(agent, service)
        )

    def test_differs_for_each_agent_and_service(self) -> None:
        pairs = [("a", "b c"), ("a", "b-c"), ("a b", "c"), ("b", "b c")]
        assert len({service_log_name(*pair) for pair in pairs}) == 4
