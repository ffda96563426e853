"""Attacks that leave something for later, and a look whether the next case finds it."""

from collections.abc import Mapping

from pacabench.audit.attack import Alter, Attack, Observation
from pacabench.audit.bench import Bench
from pacabench.audit.drives.talk import open_talk
from pacabench.errors import SandboxError

LOOK = "look.py"
KEPT_CONTAINER = "the throwaway container: the next case comes to the same one"
"""What :func:`found_in_the_same_container` takes away."""


async def found_by_the_next(bench: Bench, attack: Attack, alter: Alter | None) -> Observation:
    """The attack in a container, and then a look around in the next one of the same lane."""
    scripts: Mapping[str, str] = {attack.id: attack.script}
    async with open_talk(bench, scripts, alter=alter) as talk:
        left = await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s, last=True)
    if left.answer is None:
        raise SandboxError("what was to be left could not be left")
    async with open_talk(bench, {"look": LOOK}, alter=alter) as talk:
        reply = await talk.ask("look", attack.given, timeout_s=attack.timeout_s, last=True)
    return Observation(reply, talk.end, (), talk.close_s)


async def found_in_the_same_container(bench: Bench, attack: Attack) -> Observation:
    """Where only the agent's process is killed between cases, and its container goes on."""
    scripts = {attack.id: attack.script, "look": LOOK}
    async with open_talk(bench, scripts) as talk:
        left = await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s)
        if left.answer is None:
            raise SandboxError("what was to be left could not be left")
        reply = await talk.ask("look", attack.given, timeout_s=attack.timeout_s)
    return Observation(reply, talk.end, (), talk.close_s)
