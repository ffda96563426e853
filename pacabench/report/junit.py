"""``pacabench export --format junit``: for CI systems, which show failures and count them.

The form that Jenkins, GitLab and GitHub actions read: a suite per agent and data set, a test case
per case. A wrong answer or an agent's own failure is a ``failure``; what the infrastructure did,
and cases without a result, are an ``error``: a suite that is not known whole is not green.
"""

from collections.abc import Iterator
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from pacabench.export_mark import EXPORT_MARK
from pacabench.model import CaseResult, Outcome
from pacabench.report.printable import printable, printable_block
from pacabench.report.rows import as_text
from pacabench.report.view import RunView
from pacabench.report.wording import broken_promises, case_name, cases_of
from pacabench.stats import AgentSummary

_TEXT_CHARS = 10_000


def junit_chunks(view: RunView, *, include_cases: bool) -> Iterator[bytes]:
    """The document, piece by piece; answers and expected ones with ``include_cases`` only."""
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites {_suites(view)}>\n".encode()
    summaries = {(agent.agent, agent.dataset): agent for agent in view.summary.agents}
    results = view.deciding(view.case_keys())
    for (agent, dataset), group in groupby(results, lambda it: (it.key.agent, it.key.dataset)):
        summary = summaries.pop((agent, dataset))
        yield _begin(view, summary)
        for result in group:
            yield _case(result, include_cases=include_cases).encode()
        yield _rest(view, summary)
    for summary in summaries.values():  # nothing of them was run
        yield _begin(view, summary)
        yield _rest(view, summary)
    yield f"</testsuites>\n{EXPORT_MARK}\n".encode()


def _suites(view: RunView) -> str:
    total = view.summary.total
    return _attributes(
        name=f"{view.record.manifest.name} {view.record.run_id}", **_counts(view, total)
    )


def _begin(view: RunView, summary: AgentSummary) -> bytes:
    """A suite's head, with how tightly its agent was held."""
    head = _attributes(
        name=f"{summary.agent} {summary.dataset}",
        timestamp=view.record.manifest.started,
        **_counts(view, summary),
    )
    sandbox = view.record.manifest.sandbox
    kept = sandbox.profiles.get(summary.agent)
    told = [("sandbox", sandbox.kind)]
    told += [("sandbox_profile", kept.profile)] if kept is not None else []
    told += [("sandbox_weakness", text) for text in broken_promises(view, summary.agent)]
    properties = "".join(
        f"      <property {_attributes(name=name, value=value)}/>\n" for name, value in told
    )
    text = f"  <testsuite {head}>\n    <properties>\n{properties}    </properties>\n"
    return text.encode()


def _counts(view: RunView, summary: AgentSummary) -> dict[str, str]:
    waiting = 1 if summary.pending else 0
    skipped = waiting if view.is_decided else 0
    latency = summary.per_case.latency_ms
    return {
        "tests": str(summary.cases - summary.pending + waiting),
        "failures": str(summary.failed),
        "errors": str(summary.infrastructure + waiting - skipped),
        "skipped": str(skipped),
        "time": _seconds((latency.mean or 0.0) * latency.count),
    }


def _rest(view: RunView, summary: AgentSummary) -> bytes:
    """Cases without a result, as one test case, and the end of the suite."""
    text = ""
    if summary.pending:
        name = _attributes(
            name="cases without a result", classname=_class(summary.agent, summary.dataset)
        )
        tag, what = ("skipped", "not run") if view.is_decided else ("error", "pending")
        said = _attributes(message=f"{cases_of(summary.pending)} without a result", type=what)
        text = f"    <testcase {name}>\n      <{tag} {said}/>\n    </testcase>\n"
    return f"{text}  </testsuite>\n".encode()


def _case(result: CaseResult, *, include_cases: bool) -> str:
    key = result.key
    head = _attributes(
        name=case_name(key),
        classname=_class(key.agent, key.dataset),
        time=_seconds(result.duration_ms),
    )
    if result.outcome is Outcome.PASSED:
        return f"    <testcase {head}/>\n"
    tag = "error" if result.outcome.is_infrastructure else "failure"
    said = _attributes(message=result.error or "wrong answer", type=result.outcome.value)
    body = ""
    if include_cases:
        lines = [
            f"{name}: {text}"
            for name, text in (
                ("answer", as_text(result.output)),
                ("expected", as_text(result.expected)),
            )
            if text is not None
        ]
        body = escape(printable_block("\n".join(lines), _TEXT_CHARS))
    return f"    <testcase {head}>\n      <{tag} {said}>{body}</{tag}>\n    </testcase>\n"


def _class(agent: str, dataset: str) -> str:
    """CI systems make a tree of it, at its dots."""
    return f"{agent}.{dataset}"


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.3f}"


def _attributes(**values: str) -> str:
    r"""XML takes no control characters, escaped or not; they are written as ``\x1b``."""
    return " ".join(
        f"{name}={quoteattr(printable(value, _TEXT_CHARS))}" for name, value in values.items()
    )
