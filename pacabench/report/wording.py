"""Figures as people read them, and the sentences that no summary may leave out."""

from collections.abc import Iterable
from pathlib import Path

from pacabench.figures import CallFigures
from pacabench.model import CaseKey, Outcome
from pacabench.report.view import RunView
from pacabench.stats import AgentSummary, Interval
from pacabench.stats.repeats import Repeats
from pacabench.store import DecisionRecord
from pacabench.store.scores import Scores, ScoresHead

_SECOND_MS = 1000.0
_MINUTE_MS = 60_000.0
_LEAST_SHOWN_USD = 0.0001
UNKNOWN = "?"
NONE = "-"
ESTIMATED = "~"


def percent(share: float | None) -> str:
    """``83.3%``; a dash where nothing was judged."""
    return NONE if share is None else f"{share:.1%}"


def bounds(interval: Interval | None) -> str:
    """An interval of a share: ``35.4-87.9``, in percent."""
    return NONE if interval is None else f"{interval.low:.1%}-{interval.high:.1%}".replace("%", "")


def duration(ms: float | None) -> str:
    """``850 ms``, ``4.21 s``, ``3:07 min``."""
    if ms is None:
        return NONE
    if ms < _SECOND_MS:
        return f"{ms:.0f} ms"
    if ms < _MINUTE_MS:
        return f"{ms / _SECOND_MS:.2f} s"
    minutes, seconds = divmod(round(ms / _SECOND_MS), 60)
    return f"{minutes}:{seconds:02} min"


def count(value: int | None) -> str:
    """``1,234``; a question mark where nobody knows."""
    return UNKNOWN if value is None else f"{value:,}"


def tokens(value: int | None, figures: CallFigures) -> str:
    """A sum of tokens: ``~`` when part is an estimate, ``+?`` when calls are missing in it."""
    if value is None:
        return UNKNOWN
    return f"{_about(figures)}{count(value)}" + ("+?" if figures.uncounted_calls else "")


def _about(figures: CallFigures) -> str:
    return ESTIMATED if figures.estimated_calls else ""


def dollars(figures: CallFigures) -> str:
    """What calls cost: ``$0.0123``, ``$0.01+?`` when some have no price, ``scripted``, ``?``.

    Little is not nothing: what would round to zero is ``<$0.0001``.
    """
    cost = figures.cost_usd
    if cost is None:
        return "scripted" if figures.scripted_calls == figures.calls else UNKNOWN
    return _about(figures) + money(cost) + ("+?" if figures.cost_incomplete else "")


def money(cost: float) -> str:
    """``$0.0123``, ``$12.30``, ``<$0.0001``."""
    digits = 4 if cost < 1 else 2
    return "<$0.0001" if 0 < cost < _LEAST_SHOWN_USD / 2 else f"${cost:,.{digits}f}"


def dollars_per_pass(agent: AgentSummary) -> str:
    """What a case that passed has cost, with all that was spent on others."""
    cost, usage = agent.cost_per_pass_usd, agent.usage
    if cost is None:
        return NONE
    return _about(usage) + money(cost) + ("+?" if usage.cost_incomplete else "")


def repeated(repeats: Repeats) -> str:
    """Accuracy over epochs, and how often at least one, or all, of k epochs pass."""
    deviation = "" if repeats.deviation is None else f" ± {repeats.deviation * 100:.1f}"
    at = ", ".join(
        f"pass@{at.k} {percent(at.pass_at)} pass^{at.k} {percent(at.pass_hat)}" for at in repeats.at
    )
    return f"{percent(repeats.mean)}{deviation} over {len(repeats.accuracies)} epochs; {at}"


def warnings_of(view: RunView) -> list[str]:
    """What a reader of the figures has to know first, one sentence each."""
    total, run_id = view.summary.total, view.record.run_id
    again = [] if view.scores is None else _judged_again(view, view.scores)
    return [
        *again,
        *_unfinished(
            total,
            run_id,
            running=view.record.status == "running",
            decision=view.record.manifest.decision,
        ),
        *_cut_short(total),
        *_over_case_budget(total, run_id),
        *_not_real(view),
        *_recorded(view),
        *_inexact(total.usage),
    ]


def dangers_of(view: RunView) -> list[str]:
    """Where less was held than the sandbox promises by default, one sentence each.

    Of agents, and of programs that judged their answers again.
    """
    sandbox = view.record.manifest.sandbox
    loose = [agent for agent, kept in sandbox.profiles.items() if kept.profile == "unsafe"]
    said = []
    if loose:
        said.append(
            f"Profile `unsafe` for {_names(loose)}: root, no filter of system calls, a writable "
            "root file system. For debugging, never for agents that nobody trusts."
        )
    said += [
        f"This engine did not hold {_names(weak.agents)} as promised, and the run was let go on "
        f"(--allow-weak-sandbox): {weak.promise}."
        for weak in sandbox.weaknesses
    ]
    if view.scores is not None:
        said += [
            "This engine did not hold programs that judged as promised, and they were let go on "
            f"(--allow-weak-sandbox): {promise}."
            for promise in view.scores.head.weaknesses
        ]
    return said


def broken_promises(view: RunView, agent: str) -> list[str]:
    """What the engine did not hold of ``agent``, where --allow-weak-sandbox let the run go on."""
    weaknesses = view.record.manifest.sandbox.weaknesses
    return [weak.promise for weak in weaknesses if agent in weak.agents]


def _names(agents: Iterable[str]) -> str:
    return ", ".join(f"`{agent}`" for agent in agents)


def judged_again(head: ScoresHead) -> str:
    """That the figures are not by the scores that the run was given first."""
    kinds = ", ".join(f"{name}: {config.get('type')}" for name, config in head.evaluators.items())
    return f"Answers were judged again ({kinds}): scores `{head.name}` of {head.at}."


def _judged_again(view: RunView, scores: Scores) -> list[str]:
    since = sum(
        case.attempt_id not in scores.by_attempt
        for key, case in view.summary.cases.items()
        if key.dataset in scores.head.evaluators and case.score is not None
    )
    said = [judged_again(scores.head)]
    if since:
        said.append(f"{cases_of(since)} run since then, and by their first scores.")
    return said


def decided(decision: DecisionRecord) -> str:
    """How ``--stop-when-decided`` ended, in a sentence."""
    a, b = decision.agents
    figures = (
        f"after {decision.pairs:,} of {decision.pairs_planned:,} pairs, {decision.only_a} that "
        f"`{a}` alone has right and {decision.only_b} that `{b}` alone has right; always-valid "
        f"p {decision.p_value:.2g}, and `{b}` has {decision.share_b_low:.0%} to "
        f"{decision.share_b_high:.0%} of such pairs"
    )
    if decision.out_of_reach:
        return _out_of_reach(decision, figures)
    if decision.winner is None:
        return f"Undecided which of `{a}` and `{b}` is better {figures}."
    loser = b if decision.winner == a else a
    return (
        f"Decided: `{decision.winner}` is better than `{loser}`, {figures}. {_saved(decision)} "
        "Accuracies of a run that stops at a difference make it look larger than it is."
    )


def _out_of_reach(decision: DecisionRecord, figures: str) -> str:
    a, b = decision.agents
    said = f"Undecided which of `{a}` and `{b}` is better, and out of reach: {figures}; "
    if decision.difference_low is not None and decision.difference_high is not None:
        largest = max(-decision.difference_low, decision.difference_high)
        said += (
            f"even if all that was left had gone one way, `{b}` less `{a}` would be between "
            f"{decision.difference_low:+.1%} and {decision.difference_high:+.1%} over all pairs, "
            f"so there is no difference of more than {largest:.1%} to be found here. "
        )
    return said + _saved(decision)


def _saved(decision: DecisionRecord) -> str:
    """How many cases were not run, and what that saved."""
    saved = (
        "an unknown cost" if decision.saved_usd is None else f"about {money(decision.saved_usd)}"
    )
    return f"{cases_of(sum(decision.not_run.values()))} not run, which saved {saved}."


def _unfinished(
    total: AgentSummary, run_id: str, *, running: bool, decision: DecisionRecord | None
) -> list[str]:
    said = []
    if total.infrastructure:
        kinds = ", ".join(
            f"{number} {outcome}"
            for outcome, number in total.outcomes.items()
            if outcome.is_infrastructure
        )
        said.append(
            f"{cases_of(total.infrastructure)} ended by infrastructure ({kinds}): not the agent's "
            f"doing, and not counted in the accuracy. `pacabench resume {run_id}` tries again."
        )
    if decision is not None:
        said.append(decided(decision))
    if decision is not None and decision.stopped_early:
        return said
    if total.pending and running:
        said.append(f"The run goes on: {cases_of(total.pending)} without a result yet.")
    elif total.pending:
        said.append(
            f"{cases_of(total.pending)} without a result. `pacabench resume {run_id}` goes on."
        )
    return said


def _cut_short(total: AgentSummary) -> list[str]:
    if not total.cut_short:
        return []
    several = "s" * (total.cut_short != 1)
    text = (
        f"{total.cut_short:,} attempt{several} ended because the budget of the run or of an agent "
        "had no room for a call or for all of its reply, or could not tell what it may cost: they "
        "count for nothing."
    )
    if total.pending:
        text += (
            " Raise the budget, or add what the refusal names (`show --case ID` has it: a model's "
            "`prices`, `budget.default_max_input`, `budget.default_max_output`), and `resume` "
            "makes those cases anew."
        )
    return [text]


def _over_case_budget(total: AgentSummary, run_id: str) -> list[str]:
    """They count as failed: a reader has to know that it was a limit, or a missing price."""
    number = total.outcomes.get(Outcome.BUDGET_EXCEEDED, 0)
    if not number:
        return []
    text = (
        f"{cases_of(number)} ended as budget_exceeded, which counts as failed: a call did not fit "
        "into the budget of an attempt, a reply was cut off for it, or nobody could tell what a "
        "call may cost. "
        f"`pacabench show {run_id} --failures` has the reasons."
    )
    return [text]


def _not_real(view: RunView) -> list[str]:
    said = []
    if view.summary.scripted:
        said.append(
            "Answers came from the built-in `scripted` provider, by rules and not by a model: "
            "the figures say nothing about any model."
        )
    if view.record.manifest.sandbox.kind == "process":
        said.append(
            "The agents ran as processes of this machine and not in containers: they could reach "
            "files, the network and each other."
        )
    return said


_NO_MATCH_LATER = (
    " `resume` would find none either: `run --replay-or-record DIR` asks providers for what is "
    "missing, and `config.proxy.replay.ignore` leaves out what differs and does not matter."
)

_NO_JUDGING_LATER = (
    " Another judge, or another prompt, was not recorded: `run --replay-or-record DIR` replays the "
    "agents and asks the judge, and `score` judges a run's answers by it."
)


def _recorded(view: RunView) -> list[str]:
    """What a run has to do with a cassette."""
    cassette, usage = view.record.manifest.cassette, view.summary.total.usage
    if cassette is None:
        return []
    said = []
    if cassette.replayed is not None:
        replayed = usage.replayed_calls + view.judge.replayed_calls
        live = usage.calls + view.judge.calls - replayed
        said.append(
            f"Replayed: {_calls(replayed)} answered out of the cassette "
            f"{Path(cassette.directory).name} ({_short(cassette.replayed)})"
            + (f", {_calls(live)} by providers" if cassette.mode != "replay" else "")
            + ". Tokens and costs are those of the recording; times are not a provider's."
        )
    if usage.unmatched_calls:
        said.append(
            f"{_calls(usage.unmatched_calls)} without a match in the cassette: their cases ended "
            "as provider_error, unless the agent got on without them."
            + (_NO_MATCH_LATER if cassette.mode == "replay" else "")
        )
    if view.judge.unmatched_calls:
        said.append(
            f"{_calls(view.judge.unmatched_calls)} of judges without a match in the cassette: "
            "their cases ended as evaluator_error."
            + (_NO_JUDGING_LATER if cassette.mode == "replay" else "")
        )
    if cassette.recorded is not None:
        name = Path(cassette.directory).name
        said.append(f"Recorded into {name} ({_short(cassette.recorded)}).")
    if cassette.not_recorded:
        said.append(
            f"Not recorded: {_calls(cassette.not_recorded)}. A replay of their cases will miss "
            "them."
        )
    return said


def _short(digest: str) -> str:
    return digest[: len("sha256:") + 12]


def _inexact(figures: CallFigures) -> list[str]:
    said = []
    if figures.uncounted_calls:
        said.append(
            f"{_calls(figures.uncounted_calls)} without full usage (cut off, or the provider did "
            "not say): the true number of tokens is higher."
        )
    if figures.estimated_calls:
        said.append(
            f"{_calls(figures.estimated_calls)} of which the provider did not tell all tokens: "
            f"what is missing is estimated with a tokenizer; sums with it are marked {ESTIMATED}."
        )
    if figures.unpriced_calls:
        said.append(
            f"{_calls(figures.unpriced_calls)} without a known cost (no usage, or no price for the "
            "model): the true cost is higher."
        )
    if figures.other_model_calls:
        said.append(
            f"{_calls(figures.other_model_calls)} answered by another model than was asked for: "
            "`show --case` says by which."
        )
    if figures.failed_calls:
        said.append(f"{_calls(figures.failed_calls)} failed at the provider: not counted.")
    if figures.denied_calls:
        said.append(f"{_calls(figures.denied_calls)} denied by the proxy: not counted.")
    return said


def case_name(key: CaseKey) -> str:
    """The case's id, with the epoch where it is not the first."""
    return key.case_id if key.epoch == 1 else f"{key.case_id} (epoch {key.epoch})"


def cases_of(number: int) -> str:
    """``1 case``, ``1,234 cases``."""
    return f"{number:,} case{'s' * (number != 1)}"


def _calls(number: int) -> str:
    return f"{number:,} LLM call{'s' * (number != 1)}"
