"""Every attack of the catalogue on the real sandbox, and its control where it has to work."""

import pytest

from pacabench.audit.attack import Attack, Mutation, Status
from pacabench.audit.catalogue import CATALOGUE, select
from pacabench.audit.lab import Lab
from pacabench.audit.mutations import ON_BRIDGE, WRITABLE_ROOT

pytestmark = [
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),  # the first of a lab's attacks pays for what all of them share
]


@pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: attack.id)
async def test_an_attack_is_held_its_control_works_and_the_next_case_is_unaffected(
    lab: Lab, attack: Attack
) -> None:
    verdict = await lab.verdict(attack)

    good = {Status.HELD, Status.NOT_APPLICABLE}
    assert verdict.status in good, (verdict.why, verdict.evidence, verdict.control)


@pytest.mark.parametrize(
    ("protection", "broken"),
    [(ON_BRIDGE, "network.host-listeners"), (WRITABLE_ROOT, "privilege.root-files")],
    ids=lambda value: getattr(value, "name", value),
)
async def test_a_sandbox_without_a_protection_is_reported_as_broken(
    lab: Lab, protection: Mutation, broken: str
) -> None:
    (attack,) = select([broken])

    verdict = await lab.verdict(attack, weaken=protection)

    assert verdict.status is Status.BROKEN
    assert verdict.why == attack.remedy
