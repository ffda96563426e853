"""Reserve and settle: nothing is overspent, nothing is refused that fits, nobody waits for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pacabench.amounts import NOTHING, Amount, Ceiling
from pacabench.budget.book import Account, Book


def calls(number: int) -> Amount:
    return Amount(calls=number)


def account(most: int) -> Account:
    return Account(Ceiling(calls=most))


@dataclass
class Asked:
    """A call, and what it was told."""

    accounts: Sequence[Account]
    amount: Amount
    told: list[Account | None] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        return not self.told

    @property
    def granted(self) -> bool:
        return self.told == [None]


class Desk:
    """A book, and who asked it."""

    def __init__(self) -> None:
        self.book = Book()
        self.asked: dict[str, Asked] = {}

    def ask(self, call_id: str, accounts: Sequence[Account], amount: Amount) -> Asked:
        made = self.asked[call_id] = Asked(accounts, amount)
        self.book.ask(call_id, accounts, amount, made.told.append)
        return made


class TestOneAccount:
    def test_what_fits_is_granted_at_once(self) -> None:
        desk, purse = Desk(), account(2)
        assert desk.ask("a", [purse], calls(1)).granted
        assert desk.ask("b", [purse], calls(1)).granted
        assert purse.reserved == calls(2)

    def test_what_is_only_in_the_way_of_reservations_waits_until_one_is_given_back(self) -> None:
        desk, purse = Desk(), account(2)
        desk.ask("a", [purse], calls(2))
        waiting = desk.ask("b", [purse], calls(1))
        assert waiting.waits
        desk.book.settle("a", (), calls(1))
        assert waiting.granted
        assert purse.spent == calls(1)

    def test_what_would_not_fit_with_nothing_reserved_is_refused_at_once(self) -> None:
        desk, purse = Desk(), account(3)
        desk.book.settle("earlier", [purse], calls(2))
        desk.ask("a", [purse], calls(1))
        assert desk.ask("b", [purse], calls(2)).told == [purse]

    def test_one_that_waits_is_refused_when_the_room_is_spent(self) -> None:
        desk, purse = Desk(), account(2)
        desk.ask("a", [purse], calls(2))
        waiting = desk.ask("b", [purse], calls(1))
        desk.book.settle("a", (), calls(2))
        assert waiting.told == [purse]

    def test_one_that_leaves_while_it_waits_reserves_nothing(self) -> None:
        desk, purse = Desk(), account(1)
        desk.ask("a", [purse], calls(1))
        gone = desk.ask("b", [purse], calls(1))
        desk.book.settle("b", (), NOTHING)
        desk.book.settle("a", (), NOTHING)
        assert gone.waits
        assert purse.reserved == NOTHING

    def test_a_small_call_does_not_pass_a_large_one_that_waits(self) -> None:
        desk, purse = Desk(), account(4)
        desk.ask("a", [purse], calls(3))
        large = desk.ask("large", [purse], calls(4))
        small = desk.ask("small", [purse], calls(1))
        assert (large.waits, small.waits) == (True, True)
        desk.book.settle("a", (), NOTHING)
        assert large.granted
        assert small.waits

    def test_more_than_was_reserved_is_charged_in_full(self) -> None:
        desk, purse = Desk(), account(3)
        desk.ask("a", [purse], calls(1))
        desk.book.settle("a", (), calls(5))
        assert purse.spent == calls(5)
        assert desk.ask("b", [purse], calls(1)).told == [purse]


class TestSeveralAccounts:
    def test_the_narrowest_without_room_refuses(self) -> None:
        desk, narrow, wide = Desk(), account(1), account(1)
        desk.book.settle("earlier", [narrow, wide], calls(1))
        assert desk.ask("a", [narrow, wide], calls(1)).told == [narrow]

    def test_nothing_is_reserved_in_one_where_another_has_no_room(self) -> None:
        desk, narrow, wide = Desk(), account(5), account(1)
        desk.ask("a", [wide], calls(1))
        assert desk.ask("b", [narrow, wide], calls(1)).waits
        assert narrow.reserved == NOTHING

    def test_who_waits_for_an_account_of_its_own_holds_nobody_else_up(self) -> None:
        desk, wide = Desk(), account(100)
        mine, yours = account(1), account(1)
        desk.ask("a", [mine, wide], calls(1))
        assert desk.ask("b", [mine, wide], calls(1)).waits
        assert desk.ask("c", [yours, wide], calls(1)).granted


class TestCeiling:
    @pytest.mark.parametrize(
        ("ceiling", "used_up"),
        [
            (Ceiling(), False),
            (Ceiling(calls=3), False),
            (Ceiling(calls=2), True),
            (Ceiling(tokens=100), True),
            (Ceiling(tokens=101), False),
            (Ceiling(pico=7), True),
            (Ceiling(calls=99, tokens=100, pico=99), True),
        ],
    )
    def test_used_up_is_one_in_which_not_the_smallest_call_fits(
        self, ceiling: Ceiling, used_up: bool
    ) -> None:
        assert ceiling.used_up_by(Amount(calls=2, tokens=100, pico=7)) is used_up


amounts = st.builds(Amount, st.integers(1, 3), st.integers(0, 40), st.integers(0, 40))
limits = st.none() | st.integers(0, 100)
ceilings = st.builds(Ceiling, limits, limits, limits)


def share(amount: Amount, percent: int) -> Amount:
    return Amount(
        amount.calls * percent // 100, amount.tokens * percent // 100, amount.pico * percent // 100
    )


class Books(RuleBasedStateMachine):
    """Any order of asking, settling, leaving and dying, over a run, agents and attempts."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.made: list[list[Account]] = []
        self.number = 0
        self.billed: dict[Account, Amount] = {}

    @precondition(lambda self: not self.made)
    @rule(run=ceilings, agents=st.lists(ceilings, min_size=1, max_size=2), cases=ceilings)
    def begin(self, run: Ceiling, agents: list[Ceiling], cases: Ceiling) -> None:
        whole = Account(run)
        self.made = [
            [Account(cases), of_agent, whole] for of_agent in map(Account, agents) for _ in range(2)
        ]
        self.billed = {it: NOTHING for accounts in self.made for it in accounts}

    @precondition(lambda self: self.made)
    @rule(attempt=st.integers(0, 3), amount=amounts)
    def ask(self, attempt: int, amount: Amount) -> None:
        self.number += 1
        accounts = self.made[attempt % len(self.made)]
        asked = self.desk.ask(f"call-{self.number}", accounts, amount)
        fits_alone = all(it.ceiling.holds(it.spent + amount) for it in accounts)
        assert fits_alone or asked.told[0] is not None
        # Nothing is refused that fits.
        assert not (fits_alone and asked.told and asked.told[0] is not None)

    @precondition(lambda self: any(it.granted for it in self.desk.asked.values()))
    @rule(which=st.integers(0), percent=st.integers(0, 100))
    def settle(self, which: int, percent: int) -> None:
        """It ends, or dies and is charged all that was reserved (100 percent)."""
        granted = [call_id for call_id, it in self.desk.asked.items() if it.granted]
        call_id = granted[which % len(granted)]
        spent = share(self.desk.asked[call_id].amount, percent)
        for purse in self.desk.asked.pop(call_id).accounts:
            self.billed[purse] += spent
        self.desk.book.settle(call_id, (), spent)

    @precondition(lambda self: any(it.waits for it in self.desk.asked.values()))
    @rule(which=st.integers(0))
    def leave(self, which: int) -> None:
        waiting = [call_id for call_id, it in self.desk.asked.items() if it.waits]
        call_id = waiting[which % len(waiting)]
        gone = self.desk.asked.pop(call_id)
        self.desk.book.settle(call_id, (), NOTHING)
        assert gone.waits

    @rule()
    def crash(self) -> None:
        """The harness dies: the books are made anew of what is on record, and calls under way are
        charged what was reserved for them."""
        for asked in self.desk.asked.values():
            if asked.granted:
                for purse in asked.accounts:
                    self.billed[purse] += asked.amount
        again = {it: Account(it.ceiling, spent) for it, spent in self.billed.items()}
        self.made = [[again[it] for it in accounts] for accounts in self.made]
        self.billed = {again[it]: spent for it, spent in self.billed.items()}
        self.desk = Desk()

    @invariant()
    def nothing_is_overspent(self) -> None:
        for purse, billed in self.billed.items():
            assert purse.spent == billed
            assert purse.ceiling.holds(purse.spent + purse.reserved)

    @invariant()
    def reserved_is_what_was_granted(self) -> None:
        for purse in self.billed:
            granted = [
                it.amount
                for it in self.desk.asked.values()
                if it.granted and any(purse is other for other in it.accounts)
            ]
            assert purse.reserved == sum(granted, NOTHING)

    @invariant()
    def nobody_is_told_twice_and_nobody_waits_for_nothing(self) -> None:
        told = [it.told for it in self.desk.asked.values()]
        assert all(len(it) <= 1 for it in told)
        if not any(it.granted for it in self.desk.asked.values()):
            assert not any(it.waits for it in self.desk.asked.values())


TestBooks = Books.TestCase


@given(st.lists(amounts, max_size=64), ceilings)
def test_however_many_ask_at_once_the_room_is_filled_and_not_passed(
    asked: list[Amount], ceiling: Ceiling
) -> None:
    desk, purse = Desk(), Account(ceiling)
    for number, amount in enumerate(asked):
        desk.ask(str(number), [purse], amount)
    for _ in asked:
        for call_id, call in [*desk.asked.items()]:
            if call.granted:
                desk.book.settle(call_id, (), call.amount)
                del desk.asked[call_id]
    assert ceiling.holds(purse.spent)
    assert all(not it.waits for it in desk.asked.values())
    refused = [it.amount for it in desk.asked.values()]
    assert all(not ceiling.holds(purse.spent + amount) for amount in refused)
