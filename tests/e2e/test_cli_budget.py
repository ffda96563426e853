"""Budgets as a user meets them: kept over kill -9 and resume, equal to the provider's books."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacabench.testing import FakeProvider, Reply, Tokens
from pacabench.testing.provider import provider_in_thread
from tests.e2e.conftest import wait_until

AGENT = '''\
"""Asks the model as often as the case says, and answers with the last reply."""
import json, os, sys, urllib.error, urllib.request

case = json.loads(sys.stdin.readline())
answer, error = None, None
for number in range(case.get("calls", 1)):
    body = {
        "model": case.get("model", "m"),
        "max_tokens": 20,
        "messages": [{"role": "user", "content": case["input"]}],
    }
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
            "Content-Type": "application/json",
        },
    )
    try:
        reply = json.load(urllib.request.urlopen(request))
        answer = reply["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as refused:
        error = json.load(refused)["error"]["message"]
print(json.dumps({"output": answer, "error": error if answer is None else None}))
'''
CONFIG = """\
name: spending
config:
  concurrency: 2
  timeout_seconds: 60
  max_retries: 0
  {more}
  proxy: {{base_url: "{url}", api_key_env: FAKE_KEY}}
sandbox: {sandbox}
budget: {budget}
prices: {prices}
agents: [{{name: first, command: python agent.py, {agent}}}]
datasets: [{{name: words, source: words.jsonl}}]
"""
KEY = {"FAKE_KEY": "sk-fake-0123456789"}
PRICES = "{m: {input: 1000, output: 1000}}"
CALL_USD = 0.01
"""7 tokens in and 3 out, at $0.001 each."""


HELD = (10, 11)
"""The calls that take so long that they are under way when the harness is killed."""


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    tokens = Tokens(prompt=7, completion=3)

    def answer(_: Any) -> Reply:
        held = len(made.books) in HELD
        return Reply(text="x", tokens=tokens, delay_s=3 if held else 0.05)

    with provider_in_thread(answer) as made:
        yield made


class Spending:
    """The small project before that provider, with a configuration that can be changed."""

    def __init__(self, project: Any, provider: FakeProvider) -> None:
        self.project, self.provider = project, provider
        project.write("agent.py", AGENT)

    def configure(self, budget: str, **more: str) -> None:
        defaults = {"sandbox": "{kind: process}", "prices": PRICES, "agent": "", "more": ""}
        text = CONFIG.format(url=self.provider.base_url, budget=budget, **{**defaults, **more})
        self.project.write("pacabench.yaml", text)

    def cases(self, number: int, **more: Any) -> None:
        self.project.cases(
            *({"case_id": f"c{n}", "input": "x", "expected": "x", **more} for n in range(number))
        )

    def run(self, *args: str, within_s: float = 90) -> Any:
        return self.project.ended(self.project.start(*args, **KEY), within_s=within_s)

    @property
    def billed(self) -> int:
        return sum(entry.tokens is not None for entry in self.provider.books)

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line)["result"] for line in self.project.lines("r1")]

    def calls(self) -> list[dict[str, Any]]:
        lines = self.project.lines("r1", "calls.jsonl")
        return [json.loads(line)["call"]["call"] for line in lines]

    def export(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("export", "r1", "--include-cases").out)
        return found


@pytest.fixture
def spending(small: Any, provider: FakeProvider) -> Spending:
    return Spending(small, provider)


def assert_every_case_once(it: Spending, number: int) -> None:
    """No case is lost, and none is counted twice."""
    counted = Counter(
        result["key"]["case_id"] for result in it.results() if result["budget"] is None
    )
    assert counted == Counter(f"c{n}" for n in range(number))
    export = it.export()
    assert len(export["cases"]) == export["agents"][0]["passed"] == number
    assert export["agents"][0]["pending"] == 0


def kill_and_resume(it: Spending, *, at_call: int, within_s: float = 90) -> None:
    """Killed in the middle of calls; goes on to the budget's end.

    ``at_call``: when the provider has got so many. Where the proxy dies too, it must have got all
    that are under way, or one may be on record that had not left yet.
    """
    process = it.project.start("run", "--run-id", "r1", **KEY)
    wait_until(lambda: len(it.provider.books) >= at_call, within_s=within_s)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    it.project.ended(process)
    spent_out = it.run("resume", "r1", within_s=within_s)
    assert spent_out.code == 5, spent_out.err
    assert "the run's budget is spent" in spent_out.err
    assert "pacabench resume r1" in spent_out.out
    budget = it.export()["run"]["budget"]["run"]
    # A resume may be over before the provider is done with the calls that were under way.
    wait_until(lambda: it.billed == len(it.provider.books), within_s=within_s)
    # The provider's books are the truth; ours may be higher by what nobody heard of.
    assert it.billed * CALL_USD <= budget["spent_usd"] + 1e-9 <= budget["usd"] + 1e-9
    billable = [call for call in it.calls() if call["end"] != "denied"]
    assert len(billable) == it.billed
    lost = [call for call in billable if call["usage"] is None]
    assert budget["spent_usd"] == pytest.approx(
        CALL_USD * (len(billable) - len(lost)) + sum(call["reserved_usd"] for call in lost)
    )
    # What is left does not hold one more call at its dearest.
    assert budget["spent_usd"] + billable[-1]["reserved_usd"] > budget["usd"]
    assert it.export()["agents"][0]["pending"] > 0


class TestKill:
    def test_kill_9_and_resume_keep_the_budget_and_the_books(self, spending: Spending) -> None:
        spending.cases(24, calls=3)
        spending.configure("{usd: 0.8}")
        kill_and_resume(spending, at_call=HELD[-1])  # of both workers
        assert any(call["end"] == "interrupted" for call in spending.calls())
        before = spending.billed
        assert spending.run("resume", "r1").code == 5
        assert spending.billed == before
        spending.configure("{usd: 3}")
        ended = spending.run("resume", "r1")
        assert ended.code == 0, ended.err
        assert_every_case_once(spending, 24)

    @pytest.mark.docker
    @pytest.mark.timeout(600)  # images may have to be built
    def test_in_containers_too(self, spending: Spending, cache_dir: Path) -> None:
        spending.cases(16, calls=3)
        boxed = {"sandbox": "{memory: 256m}", "more": f"cache_directory: {cache_dir}"}
        spending.configure("{usd: 0.4}", **boxed)
        kill_and_resume(spending, at_call=HELD[0], within_s=300)
        spending.configure("{usd: 3}", **boxed)
        ended = spending.run("resume", "r1", within_s=300)
        assert ended.code == 0, ended.err
        assert_every_case_once(spending, 16)
        # The sidecar outlived its harness, and heard how every call ended.
        assert spending.export()["run"]["budget"]["run"]["spent_usd"] == pytest.approx(
            spending.billed * CALL_USD
        )


class TestScopes:
    def test_a_spent_agent_stops_its_own_cases_alone(self, small: Any) -> None:
        text = (small.path / "pacabench.yaml").read_text()
        limited = "second, command: python agent.py, budget: {calls: 1}}"
        small.write("pacabench.yaml", text.replace("second, command: python agent.py}", limited))
        ended = small.run("run", "--run-id", "r1")
        assert ended.code == 5, ended.err
        assert "the budget of agent 'second' is spent: 1 of 1 calls" in ended.err
        first, second = json.loads(small.run("export", "r1").out)["agents"]
        assert (first["pending"], second["pending"]) == (0, 2)
        small.write("pacabench.yaml", text)
        assert small.run("resume", "r1", "-q").code == 0

    def test_a_cases_budget_decides_it(self, spending: Spending) -> None:
        spending.cases(2, calls=3)
        spending.configure("{case: {calls: 2}}")
        ended = spending.run("run", "--run-id", "r1")
        assert ended.code == 0, ended.err
        assert spending.billed == 4
        assert [result["outcome"] for result in spending.results()] == ["budget_exceeded"] * 2
        assert [result["budget"] for result in spending.results()] == ["case"] * 2
        assert spending.export()["agents"][0]["failed"] == 2
        shown = spending.run("show", "r1", "--case", "c0").out
        assert "of the case's budget 2 of 2 calls are spent" in " ".join(shown.split())
        assert spending.run("resume").code == 1  # it is finished
        spending.configure("{case: {calls: 3}}")
        refused = spending.run("retry", "r1")
        assert refused.code == 1
        assert "case_budget.calls: 2 -> 3" in refused.err
        assert spending.run("retry", "r1", "--accept-changes", "-q").code == 0
        assert spending.export()["agents"][0]["passed"] == 2

    @pytest.mark.parametrize(
        ("budget", "scope", "code"),
        [
            ("{case: {tokens: 100000}, default_max_output: 50}", "case", 0),
            ("{tokens: 100000, default_max_output: 50}", "run", 5),
        ],
    )
    def test_a_reply_that_was_cut_off_for_it_is_no_wrong_answer(
        self, spending: Spending, budget: str, scope: str, code: int
    ) -> None:
        """An agent without limits of its own; with a higher one its answer would be right."""
        agent = AGENT.replace('        "max_tokens": 20,\n', "")
        spending.project.write("agent.py", agent)
        spending.provider.answer = lambda _: Reply(
            text="x", tokens=Tokens(prompt=7, completion=60), heeds_limit=True
        )
        spending.cases(1)
        spending.configure(budget)
        ended = spending.run("run", "--run-id", "r1")
        assert ended.code == code, ended.err
        [result] = spending.results()
        assert (result["outcome"], result["budget"]) == ("budget_exceeded", scope)
        assert result["output"] == "x"
        assert "a reply ended after 50 tokens" in result["error"]
        assert "budget.default_max_output" in result["error"]
        [call] = spending.calls()
        assert (call["output_limit"], call["is_cut"]) == (50, True)
        shown = spending.project.run("show", "r1", "--case", "c0", "--calls").out
        assert "cut off at 50 tokens" in " ".join(shown.split())
        if scope == "run":
            spending.configure(budget.replace("50", "80"))
            assert spending.run("resume", "r1").code == 0
            assert spending.results()[-1]["outcome"] == "passed"
            assert [call["is_cut"] for call in spending.calls()] == [True, False]

    def test_a_retry_that_the_budget_ends_leaves_the_earlier_result(
        self, spending: Spending
    ) -> None:
        spending.project.cases({"case_id": "c0", "input": "x", "expected": "y"})
        spending.configure("{calls: 1}")
        assert spending.run("run", "--run-id", "r1", "-q").code == 0
        ended = spending.run("retry", "r1")
        assert ended.code == 5, ended.err
        assert spending.export()["agents"][0]["outcomes"] == {"failed": 1}

    def test_a_model_without_a_price_costs_nothing_and_is_named(self, spending: Spending) -> None:
        spending.cases(2)
        spending.configure("{usd: 1}", prices="{}")
        ended = spending.run("run", "--run-id", "r1")
        assert ended.code == 5
        assert "model 'm' of openai has no known price" in ended.err
        assert "`prices`" in ended.err
        assert spending.provider.books == []
        spending.configure("{usd: 1}")
        assert spending.run("resume", "r1", "-q").code == 0


class TestModels:
    def test_others_are_refused_and_another_one_that_answers_is_flagged(
        self, spending: Spending
    ) -> None:
        spending.project.cases(
            {"case_id": "good", "input": "x", "expected": "x"},
            {"case_id": "bad", "input": "x", "expected": "x", "model": "m-large"},
        )
        spending.provider.answer = lambda _: Reply(text="x", model="cheaper")
        spending.configure("{}", agent="models: [m, m-small]")
        ended = spending.run("run", "--run-id", "r1")
        assert ended.code == 0, ended.err
        assert [entry.model for entry in spending.provider.books] == ["m"]
        outcomes = {it["key"]["case_id"]: it["outcome"] for it in spending.results()}
        assert outcomes == {"good": "passed", "bad": "agent_error"}
        assert "Model 'm-large' is not allowed in this benchmark. Allowed: m, m-small." in ended.err
        assert "1 LLM call answered by another model than was asked for" in ended.out
        assert "m -> cheaper" in spending.run("show", "r1", "--case", "good").out
        agent = spending.export()["agents"][0]
        assert (agent["other_model_calls"], agent["denied_calls"]) == (1, 1)
