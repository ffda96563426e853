"""The rules of the scripted provider."""

import pytest

from pacabench.proxy.rules import Scripted, apply_rules, compile_rules, parse_rules


def answer(rules: list, message: str, model: str = "m") -> str:
    return apply_rules(compile_rules(rules), message, model).text


class TestMatching:
    def test_without_rules_the_message_comes_back(self) -> None:
        assert apply_rules([], "hello", "m") == Scripted("hello", None)

    def test_the_first_rule_that_fits_wins(self) -> None:
        rules = [
            {"contains": "cat", "reply": "1"},
            {"contains": "a", "reply": "2"},
            {"reply": "3"},
        ]
        assert [answer(rules, text) for text in ("a cat", "a dog", "fish")] == ["1", "2", "3"]

    def test_a_reply_can_use_the_groups_of_its_pattern(self) -> None:
        rule = {"match": r"(?P<a>\d+) \+ (\d+)( =)?", "reply": r"\g<a>, \2\3; \0 C:\temp"}
        assert answer([rule], "what is 3 + 14?") == r"3, 14; 3 + 14 C:\temp"

    def test_a_reply_without_a_pattern_is_taken_as_it_is(self) -> None:
        assert answer([{"contains": "x", "reply": r"\1 \g<a>"}], "x") == r"\1 \g<a>"

    def test_a_rule_can_be_for_one_model(self) -> None:
        rules = [{"model": "big", "reply": "big"}, {"reply": "other"}]
        assert answer(rules, "x", "big") == "big"
        assert answer(rules, "x", "small") == "other"

    def test_only_the_beginning_of_a_message_is_searched(self) -> None:
        assert (
            answer([{"contains": "needle", "reply": "found"}], "x" * 70_000 + "needle") != "found"
        )


class TestParsing:
    def test_rules_come_back_as_they_were(self) -> None:
        data = [
            {"match": "x", "reply": "y", "delay_ms": 5, "usage": {"prompt_tokens": 1}},
            {"contains": "z", "status": 429},
        ]
        assert parse_rules(data) == data

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ({}, "have to be a list, not dict"),
            (["x"], "rule 1: it has to be a mapping"),
            ([{"reply": "a"}, {"replies": "b"}], "rule 2: unknown key 'replies'; known are"),
            ([{"match": "a", "contains": "b", "reply": "c"}], "either `match` or `contains`"),
            ([{"match": "a"}], "`reply` is missing"),
            ([{"match": "(", "reply": "c"}], "no regular expression"),
            ([{"match": "(a)", "reply": r"\2"}], "names group 2, `match` has 1"),
            ([{"match": "(a)", "reply": r"\g<b>"}], "names group 'b'"),
            ([{"match": 7, "reply": "c"}], "`match` has to be text, not int"),
            ([{"reply": ["c"]}], "`reply` has to be text, not list"),
            ([{"reply": "c", "status": 200}], "`status` has to be a whole number from 400 to 599"),
            ([{"reply": "c", "delay_ms": -1}], "`delay_ms` has to be"),
            ([{"reply": "c", "delay_ms": True}], "`delay_ms` has to be"),
            ([{"reply": "c", "usage": 3}], "`usage` has to be a mapping"),
            ([{"reply": "c", "usage": {"tokens": 3}}], "unknown key 'tokens'"),
            ([{"reply": "c", "usage": {"prompt_tokens": 1.5}}], "`prompt_tokens` has to be"),
            ([{"reply": "c", "cached_tokens": "3"}], "`cached_tokens` has to be"),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_the_reason(
        self, data: object, reason: str
    ) -> None:
        with pytest.raises(ValueError, match=reason):
            parse_rules(data)
