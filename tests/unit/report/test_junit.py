"""JUnit's XML: well-formed whatever is in it, and never green where something is not known."""

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from pacabench.model import Outcome
from pacabench.report.junit import junit_chunks
from pacabench.report.view import RunView
from pacabench.testing.records import fake_key, fake_manifest, fake_result


def parsed(view: RunView, *, include_cases: bool = False) -> ET.Element:
    return ET.fromstring(b"".join(junit_chunks(view, include_cases=include_cases)))


def test_has_a_suite_per_agent_and_data_set_with_its_counts(mixed: RunView) -> None:
    root = parsed(mixed)
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["agent data", "other data"]
    first = suites[0]
    # four results and one test case for what is pending
    assert (first.get("tests"), first.get("failures"), first.get("errors")) == ("5", "2", "2")
    assert first.get("time") == "61.400"
    for suite in [*suites, root]:
        cases = list(suite.iter("testcase"))
        assert len(cases) == int(suite.get("tests", ""))
        for tag, count in (("failure", "failures"), ("error", "errors")):
            assert len([1 for case in cases if case.find(tag) is not None]) == int(
                suite.get(count, "")
            )


def test_what_is_whose_doing(mixed: RunView) -> None:
    (first, _) = parsed(mixed).findall("testsuite")
    found = {
        case.get("name"): [(child.tag, child.get("type")) for child in case]
        for case in first.findall("testcase")
    }
    assert found == {
        "case-1": [],
        "case-2": [("failure", "failed")],
        "case-3": [("error", "provider_error")],
        "case-10": [("failure", "timeout")],
        "cases without a result": [("error", "pending")],
    }


def test_answers_stand_in_it_only_when_asked(mixed: RunView) -> None:
    text = b"".join(junit_chunks(mixed, include_cases=False)).decode()
    assert "expected: 42" not in text
    (first, _) = parsed(mixed, include_cases=True).findall("testsuite")
    failure = first.find("testcase/failure")
    assert failure is not None
    assert failure.text == "answer: 41\nexpected: 42"


@pytest.mark.parametrize("include_cases", [True, False])
def test_hostile_text_is_well_formed_and_obeys_nothing(
    hostile: RunView, include_cases: bool
) -> None:
    content = b"".join(junit_chunks(hostile, include_cases=include_cases))
    assert b"\x1b" not in content
    case = ET.fromstring(content).find("testsuite/testcase")
    assert case is not None
    assert "\\x1b]0;owned" in case.get("name", "")


def test_every_character_that_xml_does_not_take_is_escaped(
    make_view: Callable[..., RunView],
) -> None:
    odd = "".join(map(chr, [*range(0x20), 0x7F, 0x85, 0xFFFE, 0xFFFF])) + "]]><&\"'"
    result = fake_result(fake_key(odd), Outcome.FAILED, output=odd, expected=odd, error=odd)
    root = parsed(make_view([result]), include_cases=True)
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "]]><&\"'" in (failure.text or "")
    assert "\\x00\\x01" in failure.get("message", "")


def test_a_data_set_that_was_never_run_is_no_success(make_view: Callable[..., RunView]) -> None:
    manifest = fake_manifest(planned_cases={"agent": {"data": 3}})
    root = parsed(make_view([], manifest=manifest))
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    error = root.find("testsuite/testcase/error")
    assert error is not None
    assert error.get("message") == "3 cases without a result"
