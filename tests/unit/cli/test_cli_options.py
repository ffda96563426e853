"""What is given on the command line."""

from pathlib import Path

import pytest

from pacabench.cli.options import SandboxKind, chosen, outcomes, overrides
from pacabench.errors import UsageError
from pacabench.model import Outcome

KNOWN = ["mem0-agent", "echo", "a, b"]


class TestChosen:
    def test_without_the_option_nothing_is_narrowed(self) -> None:
        assert chosen(None, KNOWN, kind="agent") == ()

    def test_commas_and_repetition_both_add(self) -> None:
        assert chosen(["echo, mem0-agent", "echo"], KNOWN, kind="agent") == ("echo", "mem0-agent")

    def test_a_name_with_a_comma_is_found_when_it_stands_alone(self) -> None:
        assert chosen(["a, b"], KNOWN, kind="agent") == ("a, b",)

    def test_an_unknown_name_gets_the_nearest_one(self) -> None:
        with pytest.raises(UsageError, match=r"no agent 'mem0_agnt'; did you mean 'mem0-agent'\?"):
            chosen(["mem0_agnt"], KNOWN, kind="agent")

    def test_a_name_near_to_none_gets_them_all(self) -> None:
        with pytest.raises(UsageError, match="there are: mem0-agent, echo"):
            chosen(["zzz"], KNOWN, kind="agent")

    def test_an_empty_list_is_no_wish_for_all(self) -> None:
        with pytest.raises(UsageError, match="no dataset is named"):
            chosen([","], KNOWN, kind="dataset")


class TestOutcomes:
    def test_not_given_is_all(self) -> None:
        assert outcomes(None) is None

    def test_a_list(self) -> None:
        assert outcomes("timeout, Provider_Error") == {Outcome.TIMEOUT, Outcome.PROVIDER_ERROR}

    def test_an_unknown_one_gets_the_nearest(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'timeout'"):
            outcomes("time_out")

    def test_what_passed_is_not_run_again(self) -> None:
        with pytest.raises(UsageError, match="are not run again"):
            outcomes("passed")

    def test_an_empty_list_is_refused(self) -> None:
        with pytest.raises(UsageError, match="at least one"):
            outcomes(" , ")


class TestOverrides:
    def test_only_what_was_given_is_overridden(self) -> None:
        assert overrides() == {}

    def test_flags_become_dotted_keys(self) -> None:
        assert overrides(sandbox=SandboxKind.PROCESS, concurrency=3, timeout=1.5) == {
            "sandbox.kind": "process",
            "config.concurrency": 3,
            "config.timeout_seconds": 1.5,
        }

    def test_paths_are_relative_to_where_the_user_stands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert overrides(runs_dir=Path("r"), cache_dir=Path("c")) == {
            "output.directory": str(tmp_path / "r"),
            "config.cache_directory": str(tmp_path / "c"),
        }
