"""Which kills a soak plans: every victim at every step in turn, until each was hit.

A deck has one card for each pair of victim and step, and some for random moments. Episodes are
dealt from it. What an episode did not get to is put back on top, for another one: so a soak that is
longer than its deck has hit everything, or says what it could not.
"""

import random
from collections import Counter
from collections.abc import Sequence

from faults.kills import STEPS_OF, Hit, Kill, Victim
from faults.steps import CLOSING, RECOVERY, Step

Pair = tuple[Victim, Step | None]
_MOMENTS = {
    Victim.HARNESS: 10,
    Victim.SIDECAR: 3,
    Victim.HOLDER: 8,
    Victim.AGENT: 8,
    Victim.ENGINE: 4,
}
"""Cards for random moments, in each deck: about a quarter of it."""
_MOST_OF_A_SIDECAR = 2
"""Per episode: a session ends by itself when its sidecar dies five times within two minutes."""
_MOST_TRIES = 6
_ONCE = {Step.RUN_MADE, *RECOVERY, *CLOSING} | {
    Step.MANIFEST_ASIDE,
    Step.SESSION_BEGUN,
    Step.SIDECAR_READY,
    Step.LANE_UP,
}
"""Steps that a session passes once, or for sure only once."""
_ENDS_THE_SANDBOX = {Step.SIDECAR_LEAVES, Step.REST_REMOVED}


class Deck:
    """Deals kills. From one thread."""

    def __init__(self, chance: random.Random, victims: Sequence[Victim]) -> None:
        self._chance = chance
        self._victims = victims
        self._cards = self._shuffled()
        self._tries: Counter[Pair] = Counter()
        self._hit: set[Pair] = set()

    @property
    def outstanding(self) -> set[Step]:
        """Steps at which nobody was killed yet, and may still be."""
        pairs = {(victim, step) for victim in self._victims for step in STEPS_OF[victim]}
        may = {step for victim, step in pairs if self._tries[victim, step] < _MOST_TRIES}
        return may - {step for _, step in self._hit if step is not None}

    def deal(self, victims: Sequence[Victim], count: int, *, alone: bool) -> list[Kill]:
        """The next kills for an episode with these victims.

        ``alone``: on an engine of its own. Only there nobody else clears up after a dead session,
        so that it is sure to pass the steps of recovery.
        """
        quiet = alone or Victim.ENGINE not in self._victims
        if sum(self._may(card, victims, quiet=quiet) for card in self._cards) < count:
            self._cards += self._shuffled()
        engines = [n for n, card in enumerate(self._cards) if alone and card[0] is Victim.ENGINE]
        recoveries = [n for n, card in enumerate(self._cards) if card[1] in RECOVERY]
        first = dict.fromkeys([*engines[: count // 2], *recoveries, *range(len(self._cards))])
        chosen: dict[int, Pair] = {}
        for n, card in ((n, self._cards[n]) for n in first):
            full = len(chosen) == count or not self._may(card, victims, quiet=quiet)
            if not full and _fits(card, list(chosen.values())):
                chosen[n] = card
        self._cards = [card for n, card in enumerate(self._cards) if n not in chosen]
        return [self._kill(*card) for card in chosen.values()]

    def take_back(self, missed: Sequence[Kill], done: Sequence[Hit]) -> None:
        """Note what was hit; plan again what was not, unless that was tried often enough."""
        self._hit |= {(hit.kill.victim, hit.kill.step) for hit in done}
        for kill in missed:
            card = (kill.victim, kill.step)
            self._tries[card] += 1
            if self._tries[card] < _MOST_TRIES or card in self._hit:
                self._cards.insert(0, card)

    def _may(self, card: Pair, victims: Sequence[Victim], *, quiet: bool) -> bool:
        victim, step = card
        return victim in victims and (quiet or step not in RECOVERY)

    def _shuffled(self) -> list[Pair]:
        cards: list[Pair] = []
        for victim in self._victims:
            cards += [(victim, step) for step in STEPS_OF[victim]]
            cards += [(victim, None)] * _MOMENTS[victim]
        self._chance.shuffle(cards)
        return cards

    def _kill(self, victim: Victim, step: Step | None) -> Kill:
        away_s = self._chance.choice([0.0, 0.5, 3.0]) if victim is Victim.ENGINE else 0.0
        if step is None:
            longest_s = 15.0 if victim is Victim.HARNESS else 5.0
            return Kill(victim, None, delay_s=self._chance.uniform(0.2, longest_s), away_s=away_s)
        return Kill(victim, step, nth=self._passing(step), away_s=away_s)

    def _passing(self, step: Step) -> int:
        return 1 if step in _ONCE else self._chance.randint(1, 3)


def _fits(card: Pair, chosen: Sequence[Pair]) -> bool:
    """Whether one run can suffer it besides those."""
    victim, step = card
    if victim is Victim.SIDECAR:
        return sum(other is Victim.SIDECAR for other, _ in chosen) < _MOST_OF_A_SIDECAR
    if step in _ENDS_THE_SANDBOX:  # a resume that has no case left opens no further sandbox
        return not any(other in _ENDS_THE_SANDBOX for _, other in chosen)
    return card not in chosen or step is None or step not in _ONCE
