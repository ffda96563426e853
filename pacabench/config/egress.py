"""``sandbox.egress``: what of the web agents may reach, through the sidecar."""

from typing import Annotated

import idna
from pydantic import AfterValidator, Field

from pacabench.allow_list import MAX_RULES, parse_rule
from pacabench.config.base import Section


def _normal_rule(text: str) -> str:
    """An entry as it is compared: in lower case, internationalised names in ASCII."""
    entry = text.strip()
    if not entry.isascii():
        entry = _in_ascii(entry)
    return str(parse_rule(entry))


def _in_ascii(entry: str) -> str:
    host, _, port = entry.rpartition(":")
    below = "*." if host.startswith("*.") else ""
    try:
        name = idna.encode(host.removeprefix(below), uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{entry!r} names no internationalised host: {error}") from None
    return f"{below}{name}:{port}"


def _without_repeats(rules: tuple[str, ...]) -> tuple[str, ...]:
    if len(rules) > MAX_RULES:
        raise ValueError(f"has {len(rules)} entries; {MAX_RULES} are the most")
    first: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if first.setdefault(rule, index) != index:
            raise ValueError(f"entries {first[rule]} and {index} are the same: {rule!r}")
    return rules


AllowRule = Annotated[str, AfterValidator(_normal_rule)]


class EgressConfig(Section):
    """What of the web agents may reach. Nothing but what is named here."""

    allow: Annotated[tuple[AllowRule, ...], AfterValidator(_without_repeats)] = Field(
        default=(),
        description="HOST:PORT entries; `*.` before a name stands for every name below it.",
    )
