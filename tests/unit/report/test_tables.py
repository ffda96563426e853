"""What ``pacabench show`` prints: the figures, the warnings, and nothing a terminal obeys."""

from collections.abc import Callable

import pytest
from rich.console import RenderableType

from pacabench.errors import UsageError
from pacabench.model import Outcome, new_attempt_id
from pacabench.report.cases import case_detail, cases_table, failures, find_case
from pacabench.report.tables import runs_table, summary_view
from pacabench.report.view import RunView
from pacabench.store import list_runs
from pacabench.store.logs import keep_log
from pacabench.testing.records import fake_key, fake_manifest, fake_metered, fake_result

CONTROL = set(map(chr, [*range(32), *range(127, 160), 0x202E, 0x2066])) - {"\n"}
VIEWS: dict[str, Callable[[RunView], RenderableType]] = {
    "runs": lambda view: runs_table(*list_runs(view.record.run_dir.parent)),
    "summary": summary_view,
    "cases": cases_table,
    "failures": failures,
    "case": lambda view: case_detail(find_case(view.record, view.case_keys()[0].case_id)),
}


@pytest.mark.parametrize("name", VIEWS)
class TestHostileTexts:
    def test_reach_the_screen_as_visible_text_only(
        self, hostile: RunView, render: Callable[..., str], name: str
    ) -> None:
        text = render(VIEWS[name](hostile), width=3000)
        assert not set(text) & CONTROL
        if name != "runs":
            assert "\\x1b]0;owned" in text.replace("\n", "")

    def test_are_never_read_as_markup(
        self, hostile: RunView, render: Callable[..., str], name: str
    ) -> None:
        if name != "runs":
            assert "[bold red]" in render(VIEWS[name](hostile), width=3000)


class TestSummary:
    def test_has_a_row_per_agent_and_a_total(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        lines = render(summary_view(mixed)).splitlines()
        agent = next(line for line in lines if line.startswith("agent "))
        assert agent.split() == [
            "agent", "data", "33.3%", "6.1-79.2", "1", "2", "1", "1", "5", "300", "ms", "54.93",
            "s", "3", "300", "21", "120", "$0.7500", "$0.7500",
        ]  # fmt: skip
        total = next(line for line in lines if line.startswith("all "))
        assert total.split()[1:8] == ["50.0%", "12.5-87.5", "2", "2", "1", "1", "6"]
        assert "300+?" in total
        assert "$0.7500+?" in total

    def test_is_loud_about_what_is_missing(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        text = render(summary_view(mixed))
        assert "! 1 case ended by infrastructure (1 provider_error)" in text
        assert "! 1 case without a result" in text
        assert "pacabench resume run-1" in text
        assert "! 1 LLM call without full usage" in text
        assert "! 1 LLM call without a known cost (no usage, or no price for the model)" in text

    def test_a_budget_that_cut_cases_short_is_named_with_what_mends_it(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        cut = fake_result(outcome=Outcome.BUDGET_EXCEEDED, budget="run")
        manifest = fake_manifest(planned_cases={"agent": {"data": 1}})
        text = " ".join(render(summary_view(make_view([cut], [], manifest))).split())
        assert "! 1 attempt ended because the budget of the run or of an agent had no room" in text
        # No higher budget helps where a price is missing, or a bound of the input.
        assert "or add what the refusal names (`show --case ID` has it: a model's `prices`" in text
        assert "`budget.default_max_input`, `budget.default_max_output`), and `resume`" in text
        assert "counts as failed" not in text

    def test_failures_that_are_the_budgets_of_cases_are_told_from_wrong_answers(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        over = fake_result(outcome=Outcome.BUDGET_EXCEEDED, budget="case")
        text = render(summary_view(make_view([over], [])))
        assert "! 1 case ended as budget_exceeded, which counts as failed" in text
        assert "`pacabench show run-1 --failures` has the reasons" in " ".join(text.split())

    def test_says_nothing_where_nothing_is_missing(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        result = fake_result()
        assert "!" not in render(summary_view(make_view([result], [fake_metered(result)])))

    def test_names_the_scripted_provider(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        result = fake_result()
        text = render(
            summary_view(make_view([result], [fake_metered(result, None, provider="scripted")]))
        )
        assert "! Answers came from the built-in `scripted` provider" in text
        assert "$" not in text

    def test_says_when_there_was_no_container(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        view = make_view([fake_result()], (), fake_manifest(sandbox={"kind": "process"}))
        assert "! The agents ran as processes of this machine" in render(summary_view(view))


class TestRuns:
    def test_shows_counts_and_what_cannot_be_read(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        runs_dir = mixed.record.run_dir.parent
        (runs_dir / "broken").mkdir()
        (runs_dir / "broken" / "run.json").write_text("{")
        lines = render(runs_table(*list_runs(runs_dir))).splitlines()
        row = next(line for line in lines if line.startswith("run-1"))
        assert row.split() == [
            "run-1", "finished", "2026-01-02", "03:04:05", "docker", "2", "2", "1", "1",
        ]  # fmt: skip
        assert any(line.startswith("broken") and "unreadable" in line for line in lines)

    def test_counts_a_run_that_was_killed_from_its_journal(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        manifest = mixed.record.run_dir / "run.json"
        content = manifest.read_text()
        content = content.replace('"status": "finished"', '"status": "running"')
        start = content.index('"outcomes"')
        content = content[:start] + '"outcomes": null' + content[content.index("}", start) + 1 :]
        manifest.write_text(content[: content.rindex(',\n  "crc"')] + "\n}\n")
        row = render(runs_table(*list_runs(mixed.record.run_dir.parent))).splitlines()[1]
        assert row.split()[1] == "interrupted"
        assert row.split()[-4:] == ["2", "2", "1", "1"]

    def test_of_none_says_how_to_make_one(self, render: Callable[..., str]) -> None:
        assert "pacabench run" in render(runs_table([], []))


class TestCases:
    def test_come_in_natural_order_and_limited(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        text = render(cases_table(mixed, limit=4))
        shown = [line.split()[2] for line in text.splitlines() if line.startswith("agent ")]
        assert shown == ["case-1", "case-2", "case-3", "case-10"]
        assert "... and 1 more cases" in text

    def test_failures_leave_out_what_passed(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        text = render(failures(mixed))
        assert "case-1\n" not in text.replace(" ", "")
        assert "failed  agent / data / case-2" in text
        assert "ended by timeout" in text
        assert "answer      41" in text

    def test_no_failures_are_said_to_be_none(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        assert "has passed" in render(failures(make_view([fake_result()])))


class TestOneCase:
    def test_shows_all_attempts_and_calls(self, mixed: RunView, render: Callable[..., str]) -> None:
        text = render(case_detail(find_case(mixed.record, "case-2")))
        assert "attempt 1  sandbox_error" in text
        assert "attempt 2  failed" in text
        assert text.count("chat.completions") == 2
        assert "$0.250000" in text

    def test_shows_what_the_agent_wrote_besides_its_answer(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        result = fake_result(log=f"{(attempt := new_attempt_id(fake_key()))}.log")
        record = make_view([result]).record
        (record.run_dir / "logs").mkdir(exist_ok=True)
        log = b"thinking \x1b[2J\xff\nharder\n" * 1000 + b"the last line\n"
        assert keep_log(record.run_dir, attempt, log, "on stderr") == result.log
        text = render(case_detail(find_case(record, result.key.case_id)))

        assert f"logs/{attempt}.log\n" in text
        assert "the last line" in text
        assert "thinking \\x1b[2J\\xff" in text
        assert "on stderr" not in text  # that is the exit's, and shown there
        assert len(text) < 10_000

    def test_shows_it_for_every_agent(self, mixed: RunView, render: Callable[..., str]) -> None:
        histories = find_case(mixed.record, "case-1")
        assert [history.key.agent for history in histories] == ["agent", "other"]
        text = render(case_detail(histories))
        assert "agent / data / case-1" in text
        assert "other / data / case-1" in text

    def test_shows_why_a_call_failed(self, mixed: RunView, render: Callable[..., str]) -> None:
        text = render(case_detail(find_case(mixed.record, "case-3")))
        assert "upstream said no" in text
        assert "500" in text

    def test_shows_a_case_that_only_has_calls(
        self, make_view: Callable[..., RunView], render: Callable[..., str]
    ) -> None:
        running = fake_result(fake_key("under way"), Outcome.CANCELLED)
        view = make_view([], [fake_metered(running)])
        assert "no attempt has a result yet" in render(
            case_detail(find_case(view.record, "under way"))
        )

    def test_shows_what_of_the_web_was_asked_for(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        text = render(case_detail(find_case(mixed.record, "case-2")))
        lines = [line.split() for line in text.splitlines()]
        assert ["CONNECT", "en.wikipedia.org:443", "198.35.26.96", "allowed"] in [
            line[:4] for line in lines
        ]
        assert ["CONNECT", "evil.example:443"] in [line[:2] for line in lines]
        assert sum("denied" in line for line in lines) == 2

    def test_an_unknown_one_is_a_usage_error(self, mixed: RunView) -> None:
        with pytest.raises(UsageError, match="no result of a case 'case-77'"):
            find_case(mixed.record, "case-77")


class TestNarrowScreens:
    @pytest.mark.parametrize("width", [60, 80, 100, 130, 200])
    def test_names_stay_whole_and_no_figure_is_cut(
        self, mixed: RunView, render: Callable[..., str], width: int
    ) -> None:
        lines = render(summary_view(mixed), width=width).splitlines()
        header = next(line for line in lines if "Accuracy" in line)
        rows = lines[lines.index(header) + 1 : -1]
        assert all(name in header for name in ("Agent", "Data set", "Passed", "Failed", "Infra"))
        assert "…" not in "".join([header, *rows])

    def test_extras_go_first_and_come_back_with_room(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        assert "cached" not in render(summary_view(mixed), width=100)
        assert "cached" in render(summary_view(mixed), width=200)

    def test_a_run_id_can_be_copied_at_80_columns(
        self, mixed: RunView, render: Callable[..., str]
    ) -> None:
        text = render(runs_table([mixed.record], []), width=80)
        assert mixed.record.run_id in text

    @pytest.mark.parametrize("width", [60, 80, 200])
    def test_a_case_takes_one_line(
        self, mixed: RunView, render: Callable[..., str], width: int
    ) -> None:
        lines = render(cases_table(mixed), width=width).splitlines()
        assert len(lines) == 1 + len(mixed.case_keys())
        assert ("Calls" in lines[0]) == (width == 200)
