"""Accounts with limits: reserve before, settle after, and nothing beyond.

Pure and for one thread. What is asked for is granted at once where it fits, refused at once where
it would not fit though all that is reserved came back, and waits otherwise. So what is spent and
reserved never passes a limit, unless a call uses more than was reserved for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pacabench.amounts import NOTHING, Amount, Ceiling


@dataclass(slots=True, eq=False)
class Account:
    """What somebody may spend, has spent, and has reserved for calls under way."""

    ceiling: Ceiling
    spent: Amount = NOTHING
    reserved: Amount = NOTHING

    def fits(self, amount: Amount) -> bool:
        """Room is there, whatever becomes of all that is reserved."""
        return self.ceiling.holds(self.spent + self.reserved + amount)

    def may_fit(self, amount: Amount) -> bool:
        """Room may come: there would be some if nothing were reserved."""
        return self.ceiling.holds(self.spent + amount)

    @property
    def used_up(self) -> bool:
        """Not even the smallest call fits any more."""
        return self.ceiling.used_up_by(self.spent)


Decide = Callable[[Account | None], None]
"""Told, once, the account that refuses, or None: it is granted."""


@dataclass(slots=True, eq=False)
class _Entry:
    accounts: Sequence[Account]
    amount: Amount
    decide: Decide


@dataclass(slots=True)
class Book:
    """Who reserved what, and who waits for it, by the call's id."""

    _granted: dict[str, _Entry] = field(default_factory=dict)
    _waiting: dict[str, _Entry] = field(default_factory=dict)
    """In the order in which they came."""

    def ask(
        self, call_id: str, accounts: Sequence[Account], amount: Amount, decide: Decide
    ) -> None:
        """Reserve ``amount`` in all ``accounts``, or in none; ``decide`` is told, now or later.

        Accounts come with the narrowest first: it is the first one without room that refuses.
        """
        self._waiting[call_id] = _Entry(accounts, amount, decide)
        self._pump()

    def settle(self, call_id: str, accounts: Sequence[Account], spent: Amount) -> None:
        """A call is over and used ``spent``; what was reserved for it is free again.

        One that still waits is forgotten, and nobody is told. ``accounts`` are those of a call that
        never asked.
        """
        self._waiting.pop(call_id, None)
        entry = self._granted.pop(call_id, None)
        for account in accounts if entry is None else entry.accounts:
            account.spent += spent
            if entry is not None:
                account.reserved -= entry.amount
        self._pump()

    def _pump(self) -> None:
        """Decide about all that can be decided.

        Nobody is passed by in an account that he waits for: else small calls could keep a large
        one waiting for ever.
        """
        taken: set[Account] = set()
        decided: list[tuple[Decide, Account | None]] = []
        for call_id, entry in [*self._waiting.items()]:
            refusing = next((it for it in entry.accounts if not it.may_fit(entry.amount)), None)
            full = [it for it in entry.accounts if not it.fits(entry.amount)]
            if refusing is None and (full or taken.intersection(entry.accounts)):
                taken.update(full)
                continue
            del self._waiting[call_id]
            if refusing is None:
                self._granted[call_id] = entry
                for account in entry.accounts:
                    account.reserved += entry.amount
            decided.append((entry.decide, refusing))
        for decide, refusing in decided:
            decide(refusing)
