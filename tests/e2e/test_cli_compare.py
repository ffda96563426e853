"""``compare`` on two real runs: process sandbox, scripted provider, the command as installed."""

import json
from typing import Any

import pytest

WORDS = [f"word{number}" for number in range(12)]


@pytest.fixture
def two(small: Any) -> Any:
    """The same twelve cases twice; in the second run seven answers are wrong."""
    small.cases(*({"case_id": f"c{word[4:]}", "input": word, "expected": word} for word in WORDS))
    small.write("rules.yaml", "- {contains: nothing, reply: wrong}\n")
    assert small.run("run", "--run-id", "old", "-q").code == 0
    wrong = "".join(f"- {{contains: {word}, reply: wrong}}\n" for word in WORDS[3:10])
    small.write("rules.yaml", wrong)
    assert small.run("run", "--run-id", "new", "-q").code == 0
    return small


def test_figures_flips_and_gate(two: Any) -> None:
    ended = two.run("compare", "old", "new", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    rows = {row["agent_a"]: row for row in found["comparisons"]}
    assert set(rows) == {"first", "second"}
    # "word1" is in "word10" and "word11" too, but only 3 to 9 are wrong
    assert rows["first"]["accuracy_a"] == 1.0
    assert rows["first"]["accuracy_b"] == pytest.approx(5 / 12)
    assert rows["first"]["to_failed"] == [f"c{number}" for number in range(3, 10)]
    assert rows["first"]["p_value"] == pytest.approx(2 / 2**7)
    assert rows["first"]["regression"] is True
    assert any("rules" in line for line in found["differences"])

    shown = two.run("compare", "old", "new", "-a", "first")
    assert "B is worse" in shown.out
    assert "7 cases got worse (first, words): c3, c4," in shown.out

    under = two.run("run", "--run-id", "new", "-q", "--fail-under", "0.5")  # nothing left to run
    assert under.code == 4
    assert "first on words has 41.7%" in under.err

    gated = two.run("compare", "old", "new", "--fail-on-regression")
    assert gated.code == 4
    assert "first on words" in gated.err
    assert two.run("compare", "new", "old", "--fail-on-regression").code == 0


def test_a_gate_sees_what_is_worse_over_all_data_sets_only(small: Any) -> None:
    names = ["one", "two", "three"]
    for number, name in enumerate(names):
        words = WORDS[4 * number : 4 * number + 4]
        rows = ({"case_id": f"c{word[4:]}", "input": word, "expected": word} for word in words)
        small.write(f"{name}.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    text = (small.path / "pacabench.yaml").read_text()
    sets = "".join(f"  - {{name: {name}, source: {name}.jsonl}}\n" for name in names)
    small.write("pacabench.yaml", text.replace("  - {name: words, source: words.jsonl}\n", sets))
    small.write("rules.yaml", "- {contains: nothing, reply: wrong}\n")
    assert small.run("run", "--run-id", "old", "-q").code == 0
    wrong = [2, 3, 5, 6, 7, 8, 9]  # seven decide it; of each data set there are three at most
    small.write(
        "rules.yaml", "".join(f"- {{contains: word{number}, reply: wrong}}\n" for number in wrong)
    )
    assert small.run("run", "--run-id", "new", "-q").code == 0

    gated = small.run("compare", "old", "new", "-a", "first", "--fail-on-regression")
    assert gated.code == 4, gated.err
    assert "worse than before: first on all 3 data sets (1 of 4 tests, each at 5%)" in gated.err
    assert "all (3)" in gated.out
    found = json.loads(small.run("compare", "old", "new", "--json").out)
    assert [row["decided"] for row in found["comparisons"]] == [False] * 6
    for pool in found["pooled"]:
        assert (pool["pairs"], pool["p_value"]) == (12, pytest.approx(2 / 2**7))
    narrow = small.run("compare", "old", "new", "-d", "one", "--fail-on-regression")
    assert narrow.code == 0, narrow.err
    assert "all (" not in narrow.out


def test_two_agents_of_one_run_and_names_that_are_not_there(two: Any) -> None:
    ended = two.run("compare", "new", "-a", "second,first", "--json")
    (row,) = json.loads(ended.out)["comparisons"]
    assert (row["agent_a"], row["agent_b"], row["pairs"]) == ("second", "first", 12)
    assert row["difference"] == 0.0
    crossed = two.run("compare", "old", "new", "-a", "first=second", "--json")
    (row,) = json.loads(crossed.out)["comparisons"]
    assert (row["agent_a"], row["agent_b"]) == ("first", "second")
    assert two.run("compare", "old", "-a", "first").code == 2
    missing = two.run("compare", "old", "new", "-a", "frist")
    assert missing.code == 2
    assert "did you mean 'first'" in missing.err


def test_other_data_are_refused(two: Any) -> None:
    two.cases({"case_id": "c0", "input": "word0", "expected": "word0"})
    two.run("run", "--run-id", "other", "-q")
    ended = two.run("compare", "old", "other")
    assert ended.code == 2
    assert "did not run on the same data" in ended.err
    allowed = two.run("compare", "old", "other", "--allow-different-data", "-a", "first")
    assert allowed.code == 0
    assert "matched by their id" in allowed.out


def test_epochs_are_run_counted_and_shown(small: Any) -> None:
    ended = small.run("run", "--run-id", "thrice", "--epochs", "3", "-a", "first")
    assert ended.code == 0, ended.err
    assert "pass^3 66.7%" in ended.out
    assert "over 3 epochs" in ended.out
    export = json.loads(small.run("export", "thrice", "--include-cases").out)
    (agent,) = export["agents"]
    assert (agent["cases"], agent["passed"]) == (9, 6)
    assert agent["repeats"]["accuracies"] == pytest.approx({"1": 2 / 3, "2": 2 / 3, "3": 2 / 3})
    # three cases that always agree are worth three answers, not nine
    low, high = agent["accuracy_ci95"]
    assert (low, high) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert [(case["case_id"], case["epoch"]) for case in export["cases"]] == [
        (case, epoch) for case in ("c1", "c2", "c3") for epoch in (1, 2, 3)
    ]
    assert "c3 (epoch 2)" in small.run("show", "thrice", "--failures").out


def test_a_run_of_two_agents_stops_when_it_is_decided(small: Any) -> None:
    words = [f"word{number}" for number in range(40)]
    small.cases(*({"case_id": word, "input": word, "expected": word} for word in words))
    small.write("wrong.py", 'import sys\nfor _ in sys.stdin: print(\'{"output": "no"}\')\n')
    text = (small.path / "pacabench.yaml").read_text()
    second = "{name: second, command: python agent.py}"
    small.write("pacabench.yaml", text.replace(second, "{name: second, command: python wrong.py}"))
    small.write("rules.yaml", "- {contains: nothing, reply: wrong}\n")

    ended = small.run("run", "--run-id", "race", "--stop-when-decided")
    assert ended.code == 0, ended.err
    assert "Decided: `first` is better than `second`, after 8 of 40 pairs" in ended.out
    assert "no further case is started" in ended.err
    export = json.loads(small.run("export", "race").out)
    decision = export["run"]["decision"]
    assert (decision["winner"], decision["pairs"], decision["only_a"]) == ("first", 8, 8)
    for agent in export["agents"]:
        assert agent["not_run"] == agent["pending"] == decision["not_run"][agent["name"]] > 25
    assert len(small.lines("race")) == 80 - sum(decision["not_run"].values())
    assert export["run"]["status"] == "finished"
    # nothing is left to resume, and a gate that compares is told
    assert small.run("resume").code == 1
    compared = small.run("compare", "race", "-a", "second,first", "--json")
    assert any("was decided" in text for text in json.loads(compared.out)["warnings"])
    assert "skipped" in small.run("export", "race", "--format", "junit").out


def test_answers_are_judged_again_and_the_first_scores_stay(small: Any) -> None:
    assert small.run("run", "--run-id", "night", "-q").code == 0
    before = small.lines("night")
    agent = small.path / "agent.py"
    agent.unlink()  # no agent runs
    ended = small.run("score", "night", "--evaluator", "{type: regex, pattern: ^w}")
    assert ended.code == 0, ended.err
    assert "scores `scores-1`" in ended.out
    assert "1 case now passed (first, words): c3" in ended.out
    assert "2 cases no longer passed (first, words): c1, c2" in ended.out
    assert small.lines("night") == before

    export = json.loads(small.run("export", "night", "--scores", "scores-1").out)
    assert export["run"]["scores"]["evaluators"]["words"]["type"] == "regex"
    assert [row["passed"] for row in export["agents"]] == [1, 1]
    assert json.loads(small.run("export", "night").out)["agents"][0]["passed"] == 2
    shown = small.run("show", "night", "--scores", "scores-1").out
    assert "33.3%" in shown
    assert "judged again (words: regex)" in shown

    again = small.run("score", "night", "--json", "--name", "same")
    found = json.loads(again.out)
    assert (found["judged"], found["scores"]["name"]) == (6, "same")
    assert [row["to_failed"] + row["to_passed"] for row in found["agents"]] == [[], []]
    assert small.run("score", "night", "--name", "same").code == 2
    wrong = small.run("score", "night", "--evaluator", "{type: nmeric}")
    assert wrong.code == 2

    small.cases({"case_id": "c1", "input": "one", "expected": "other"})
    changed = small.run("score", "night")
    assert changed.code == 1
    assert "was about other data" in changed.err
