r"""The rules of the ``scripted`` provider: what it answers to what.

A rule is a mapping with
``match``          a regular expression, searched in the last user message; or
``contains``       a text that stands in it (neither: the rule fits everything);
``reply``          the answer; with ``match``, ``\1`` and ``\g<name>`` stand for its groups;
``model``          the rule holds only for requests that ask for this model;
``delay_ms``       wait this long before the answer;
``status``         400 to 599: fail with this HTTP status, ``reply`` being the message;
``usage``          ``{prompt_tokens, completion_tokens, reasoning_tokens}`` in place of the count;
``cached_tokens``  how much of the prompt counts as read from the cache.
The first rule that fits wins. Without one the last user message is echoed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_SEARCHED_CHARACTERS = 64 * 1024
"""Of the message that rules look at: patterns are trusted, what agents send is not."""
MAX_DELAY_MS = 600_000
_KEYS = frozenset(
    {"match", "contains", "reply", "model", "delay_ms", "status", "usage", "cached_tokens"}
)
_USAGE_KEYS = frozenset({"prompt_tokens", "completion_tokens", "reasoning_tokens"})
_GROUP = re.compile(r"\\(?:(\d{1,2})|g<(\w+)>)")


class RuleError(ValueError):
    """A rule cannot be used; says which and why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be used."""

    pattern: re.Pattern[str] | None
    contains: str | None
    reply: str
    model: str | None
    delay_ms: float
    status: int
    usage: dict[str, int]
    cached_tokens: int | None


@dataclass(frozen=True, slots=True)
class Scripted:
    """What the rules say to one message."""

    text: str
    rule: Rule | None
    """None where no rule fitted and the message is echoed."""


def parse_rules(data: Any) -> list[dict[str, Any]]:
    """The rules in ``data`` (as read from YAML or JSON), checked.

    Raises:
        RuleError: a rule cannot be used; says which and why.
    """
    if not isinstance(data, list):
        raise RuleError(f"the rules have to be a list, not {type(data).__name__}")
    compile_rules(data)
    return data


def compile_rules(data: Sequence[Any]) -> list[Rule]:
    """The rules, ready to be used.

    Raises:
        RuleError: a rule cannot be used; says which and why.
    """
    rules: list[Rule] = []
    for number, entry in enumerate(data, start=1):
        try:
            rules.append(_rule(entry))
        except ValueError as error:
            raise RuleError(f"rule {number}: {error}") from error
    return rules


def apply_rules(rules: Sequence[Rule], message: str, model: str) -> Scripted:
    """The answer to ``message``, asked of ``model``."""
    seen = message[:MAX_SEARCHED_CHARACTERS]
    for rule in rules:
        if rule.model is not None and rule.model != model:
            continue
        if rule.contains is not None and rule.contains not in seen:
            continue
        if rule.pattern is None:
            return Scripted(rule.reply, rule)
        if found := rule.pattern.search(seen):
            return Scripted(_filled(rule.reply, found), rule)
    return Scripted(message, None)


def _filled(reply: str, found: re.Match[str]) -> str:
    def group(reference: re.Match[str]) -> str:
        number, name = reference.groups()
        return (found[int(number)] if number is not None else found[name]) or ""

    return _GROUP.sub(group, reply)


def _rule(entry: Any) -> Rule:
    if not isinstance(entry, dict):
        raise RuleError(f"it has to be a mapping, not {type(entry).__name__}")
    _check_keys(entry, _KEYS)
    if "match" in entry and "contains" in entry:
        raise RuleError("give either `match` or `contains`, not both")
    status = _number(entry, "status", 400, 599)
    reply = _string(entry, "reply")
    if reply is None and status is None:
        raise RuleError("`reply` is missing")
    pattern = _pattern(_string(entry, "match"))
    if pattern is not None and reply is not None:
        _check_groups(reply, pattern)
    return Rule(
        pattern=pattern,
        contains=_string(entry, "contains"),
        reply=reply if reply is not None else "scripted failure",
        model=_string(entry, "model"),
        delay_ms=_number(entry, "delay_ms", 0, MAX_DELAY_MS) or 0,
        status=status or 200,
        usage=_usage(entry.get("usage")),
        cached_tokens=_number(entry, "cached_tokens", 0, 2**31),
    )


def _check_keys(entry: dict[Any, Any], known: frozenset[str]) -> None:
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise RuleError(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise RuleError(f"`match` is no regular expression: {error}") from error


def _check_groups(reply: str, pattern: re.Pattern[str]) -> None:
    for reference in _GROUP.finditer(reply):
        number, name = reference.groups()
        if number is not None and int(number) > pattern.groups:
            raise RuleError(f"`reply` names group {number}, `match` has {pattern.groups}")
        if name is not None and name not in pattern.groupindex:
            raise RuleError(f"`reply` names group {name!r}, which `match` does not have")


def _usage(value: Any) -> dict[str, int]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RuleError("`usage` has to be a mapping")
    _check_keys(value, _USAGE_KEYS)
    found = {key: _number(value, key, 0, 2**31) for key in value}
    return {key: number for key, number in found.items() if number is not None}


def _string(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise RuleError(f"`{key}` has to be text, not {type(value).__name__}")
    return value


def _number(entry: dict[str, Any], key: str, least: int, most: int) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RuleError(f"`{key}` has to be a whole number from {least} to {most}")
    return value
