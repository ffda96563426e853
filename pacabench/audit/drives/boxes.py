"""Attacks in other images, under other limits and on other terms than the audit's usual ones."""

from pacabench.audit.attack import Alter, Attack, Observation
from pacabench.audit.bench import LIMITS, Bench
from pacabench.audit.drives.images import VOLUME, careless_image
from pacabench.audit.drives.talk import open_talk
from pacabench.proxy.terms import Terms

LITTLE_CPU = 0.2
PROVIDER_TOOLS = ("web_search", "mcp", "remote_urls")
_SLOW = LIMITS.model_copy(update={"cpus": LITTLE_CPU})


async def with_volume(bench: Bench, attack: Attack, alter: Alter | None) -> Observation:
    """In an image that declares a VOLUME."""
    image = await careless_image(bench.ground)
    async with open_talk(bench, {attack.id: attack.script}, alter=alter, image=image) as talk:
        given = {**attack.given, "volumes": [VOLUME]}
        reply = await talk.ask(attack.id, given, timeout_s=attack.timeout_s, last=True)
    return Observation(reply, talk.end, (), talk.close_s)


async def with_little_cpu(bench: Bench, attack: Attack, alter: Alter | None) -> Observation:
    """With a fifth of a core."""
    async with open_talk(bench, {attack.id: attack.script}, alter=alter, limits=_SLOW) as talk:
        reply = await talk.ask(attack.id, attack.given, timeout_s=attack.timeout_s, last=True)
    return Observation(reply, talk.end, (), talk.close_s)


async def with_provider_tools(bench: Bench, attack: Attack) -> Observation:
    """As an agent whose ``allow_provider_tools`` names what is attacked."""
    return await bench.attempt(
        {attack.id: attack.script},
        given={"attack": attack.id, **attack.given, **attack.control.given},
        timeout_s=attack.timeout_s,
        terms=Terms(allow_tools=[*PROVIDER_TOOLS]),
    )
