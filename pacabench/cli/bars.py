"""Live progress on a terminal: a bar per agent and the cases that run.

Pure drawing: ``draw`` makes one frame from a :class:`~pacabench.cli.tally.Tally`. The number of
rows is bounded by the height of the screen; names are escaped, because agents and data choose them.
"""

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from pacabench.budget.wording import spent_of
from pacabench.cli.figures import short_count, short_duration, short_eta
from pacabench.cli.tally import AgentTally, Running, Tally
from pacabench.figures import CallFigures
from pacabench.report.printable import printable
from pacabench.report.wording import ESTIMATED, case_name, dollars

_FEWEST_ROWS = 3
_NARROW = 72
_WIDE = 96
_NAME_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Frame:
    """The room for one drawing."""

    width: int
    height: int


def draw(tally: Tally, frame: Frame) -> RenderableType:
    """One frame: what is prepared, or bars and running cases."""
    if tally.started_s is None:
        waited = short_duration(tally.clock() - tally.preparing_since_s)
        text = printable(tally.preparing, frame.width)
        return Text(f"{waited:>6}  {text}", style="dim", no_wrap=True, overflow="ellipsis")
    rows = max(2 * _FEWEST_ROWS, frame.height - 6)
    agent_rows = min(len(tally.agents), max(_FEWEST_ROWS, rows - _FEWEST_ROWS))
    return Group(
        _headline(tally),
        _agents(tally, agent_rows, frame.width),
        *_running(tally, max(_FEWEST_ROWS, rows - agent_rows)),
    )


def _headline(tally: Tally) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(printable(tally.run_id), style="bold")
    line.append(f"  {tally.sandbox} sandbox")
    if tally.scripted:
        line.append("  scripted provider (no model answers)", style="magenta")
    line.append(f"  {short_duration(tally.elapsed_s)}", style="dim")
    for used, most in spent_of(tally.budget, tally.spent):
        line.append(f"  {used} of {most}", style="dim")
    if tally.stopping:
        line.append("  stopping", style="bold yellow")
    if tally.paused is not None:
        line.append(f"  paused: {printable(tally.paused)}", style="bold yellow")
    return line


def _agents(tally: Tally, rows: int, width: int) -> Table:
    table = Table(
        Column("agent", max_width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis"),
        Column("", ratio=1, min_width=6),
        Column("cases", justify="right", no_wrap=True),
        Column("pass", justify="right", style="green"),
        Column("fail", justify="right", style="red"),
        Column("infra", justify="right", style="yellow"),
        box=None,
        expand=True,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    if width >= _NARROW:
        table.add_column("calls", justify="right", no_wrap=True)
    if width >= _WIDE:
        table.add_column("tokens in/out", justify="right", no_wrap=True)
    if width >= _NARROW:
        table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    shown = _most_active(tally)[:rows]
    for name in shown:
        table.add_row(*_agent_row(name, tally, width))
    hidden = len(tally.agents) - len(shown)
    if hidden:
        table.add_row(Text(f"+ {hidden} more agents", style="dim"))
    return table


def _most_active(tally: Tally) -> list[str]:
    """Agents in the order of the configuration, those that are done last."""
    return sorted(tally.agents, key=lambda name: _is_done(tally.agents[name]))


def _is_done(agent: AgentTally) -> bool:
    return agent.decided >= agent.planned


def _agent_row(name: str, tally: Tally, width: int) -> list[RenderableType]:
    agent = tally.agents[name]
    bar = ProgressBar(total=max(1, agent.planned), completed=agent.decided)
    row: list[RenderableType] = [
        Text(printable(name)),
        bar,
        f"{agent.decided}/{agent.planned}",
        str(agent.passed),
        str(agent.failed),
        str(agent.infrastructure),
    ]
    if width >= _NARROW:
        row.append(short_count(agent.usage.calls))
    if width >= _WIDE:
        row.append(_tokens(agent.usage))
    if width >= _NARROW:
        row.append(dollars(agent.usage) if agent.usage.calls else "-")
    eta_s = None if tally.stopping else agent.eta_s(tally.clock())
    row.append("done" if _is_done(agent) else short_eta(eta_s))
    return row


def _tokens(usage: CallFigures) -> str:
    about = ESTIMATED if usage.estimated_calls else ""
    return f"{about}{short_count(usage.input_tokens)}/{short_count(usage.output_tokens)}"


def _running(tally: Tally, rows: int) -> list[Text]:
    running = tally.longest_running()
    shown = running if len(running) <= rows else running[: rows - 1]
    now_s = tally.clock()
    lines = [_running_line(run, now_s) for run in shown]
    if len(shown) < len(running):
        lines.append(Text(f"  + {len(running) - len(shown)} more running", style="dim"))
    return lines


def _running_line(run: Running, now_s: float) -> Text:
    again = f", attempt {run.number}" if run.number > 1 else ""
    case = f"{printable(run.key.dataset)}/{printable(case_name(run.key))}"
    return Text(
        f"  {short_duration(now_s - run.since_s):>6}  {printable(run.key.agent)}  {case}{again}",
        style="dim",
        no_wrap=True,
        overflow="ellipsis",
    )
