"""In which order a run suffers its kills, so that it passes the step of each.

A session passes its first steps once, so a kill there comes first in a session: directly behind a
kill of the harness that left something to recover. Those of the last steps come behind all others.
"""

import random
from collections.abc import Sequence

from faults.kills import Kill, Victim
from faults.steps import ATTEMPT, CLOSING, OF_THE_AGENT, OPENING, RECOVERY, Step

_ORDER = list(Step)


def arrange(chance: random.Random, kills: Sequence[Kill]) -> list[Kill]:
    """``kills`` in an order that works, with more of the harness where that takes them."""
    made = [kill for kill in kills if kill.step is Step.RUN_MADE]
    double = [kill for kill in kills if kill.step in RECOVERY and kill.victim is Victim.ENGINE]
    opening = [kill for kill in kills if kill.step in OPENING and kill not in double]
    closing = [kill for kill in kills if kill.step in CLOSING]
    middle = [kill for kill in kills if kill not in [*made, *double, *opening, *closing]]
    chance.shuffle(middle)
    if opening and not any(_leaves_something(kill) for kill in middle):
        place = chance.randint(0, len(middle) // 2)
        middle.insert(place, _leaver(chance))
    anchors = [place for place, kill in enumerate(middle) if _leaves_something(kill)]
    ordered = made
    for kill in double:  # recovery goes wrong, and its session goes on
        ordered += [_leaver(chance), kill]
    for place, kill in enumerate(middle):
        ordered.append(kill)
        if place in anchors:
            turn = anchors.index(place)
            ordered += sorted(opening[turn :: len(anchors)], key=_in_a_session)
    return [*ordered, *sorted(closing, key=_in_a_session_or_last)]


def _leaver(chance: random.Random) -> Kill:
    return Kill(Victim.HARNESS, chance.choice(OF_THE_AGENT))


def _leaves_something(kill: Kill) -> bool:
    """A session in the middle of an attempt has a sidecar, and mostly calls in its spool."""
    return kill.victim is Victim.HARNESS and kill.step in ATTEMPT


def _in_a_session(kill: Kill) -> tuple[bool, int]:
    """Each kill of the harness begins a session anew; the others follow one another in one."""
    assert kill.step is not None
    return kill.victim is not Victim.HARNESS, _ORDER.index(kill.step)


def _in_a_session_or_last(kill: Kill) -> int:
    assert kill.step is not None
    return _ORDER.index(kill.step)
