"""What is said when a run is over: the summary on stdout, and the commands that come next."""

import contextlib

from pacabench.cli.exit import ExitCode, say_error, say_warning
from pacabench.cli.options import LogFormat
from pacabench.cli.output import result_console, write_result
from pacabench.cli.runs import name_for
from pacabench.job import RunReport
from pacabench.report.misses import misses
from pacabench.report.printable import printable
from pacabench.report.tables import summary_view
from pacabench.report.view import read_view
from pacabench.report.wording import dollars, percent
from pacabench.store import load_run

_REASON_CHARS = 600


def conclude(
    report: RunReport, *, quiet: bool, log_format: LogFormat, fail_under: float | None = None
) -> ExitCode:
    """Show how the run ended and return the exit code that says the same."""
    code = exit_code(report)
    below = [] if fail_under is None else _below(report, fail_under)
    if below and code is ExitCode.DONE:
        code = ExitCode.GATE
    if log_format is LogFormat.JSON:
        from pacabench.cli.json_logs import log_finished  # noqa: PLC0415 - slow, seldom wanted

        log_finished(report.run_id, report.summary.total, int(code))
    with contextlib.suppress(OSError):  # nobody reads stdout any more; the code still tells
        if quiet:
            write_result(final_line(report))
        else:
            view = read_view(load_run(report.run_dir))
            result_console().print(summary_view(view))
            if (missed := misses(view)) is not None:
                result_console().print(missed)
            write_result(next_steps(report))
    if below:
        say_error(f"--fail-under {fail_under:g}: {'; '.join(below)}")
    return code


def _below(report: RunReport, least: float) -> list[str]:
    """Agents and data sets whose accuracy does not reach ``least``, or is not known."""
    return [
        f"{agent.agent} on {agent.dataset} has {percent(agent.accuracy)}"
        for agent in report.summary.agents
        if agent.accuracy is None or agent.accuracy < least
    ]


def exit_code(report: RunReport) -> ExitCode:
    """Interrupted when it was stopped with cases left; else whether the results are whole."""
    left = report.left or report.infrastructure_left
    if report.stopped and left:
        return ExitCode.INTERRUPTED
    if report.over_budget is not None:
        return ExitCode.BUDGET
    gave_up = report.gave_up is not None and left
    return ExitCode.INFRASTRUCTURE if report.infrastructure_left or gave_up else ExitCode.DONE


def final_line(report: RunReport) -> str:
    """The run on one line."""
    total = report.summary.total
    kind = "pending" if report.left else "not run"
    pending = f", {total.pending} {kind}" if total.pending else ""
    return (
        f"{report.run_id}: {percent(total.accuracy)} accuracy, {total.passed} passed, "
        f"{total.failed} failed, {total.infrastructure} infrastructure{pending} "
        f"of {total.cases} cases, {total.usage.calls} calls, {dollars(total.usage)}"
    )


def next_steps(report: RunReport) -> str:
    """Commands to look further or to go on, ready to be copied."""
    name, total = name_for(report.run_dir), report.summary.total
    steps: list[tuple[str, str]] = []
    if report.over_budget is not None:
        mended = "the budget is raised" if report.spent else "that is mended"
        text = f"go on with the cases that are left, once {mended}"
        steps.append((f"pacabench resume {name}", text))
    elif report.missed and not report.left:
        text = "replay what there is, and ask providers for what had no match"
        steps.append(("pacabench run --replay-or-record DIR", text))
    elif report.left or report.infrastructure_left:
        steps.append((f"pacabench resume {name}", "go on with the cases that are left"))
    if total.failed or total.infrastructure:
        steps.append((f"pacabench show {name} --failures", "what went wrong, case by case"))
    steps.append((f"pacabench export {name} --include-cases -o FILE", "everything, as JSON"))
    width = max(len(command) for command, _ in steps)
    lines = [f"  {command:<{width}}  {text}" for command, text in steps]
    if report.over_budget is not None and not report.spent:
        lines.insert(0, f"Cases are left open: {printable(report.over_budget, _REASON_CHARS)}")
    return "\n" + "\n".join(lines)


def say_interrupted(name: str | None) -> None:
    """After the second signal there is no report."""
    if name:
        say_warning(f"stopped. Finished cases are on disk; go on with: pacabench resume {name}")
    else:
        say_warning("stopped before the first case")
