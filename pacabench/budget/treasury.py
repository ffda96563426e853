"""Decides whether calls may go out, and keeps what was spent. Lives as long as a session of a run.

One event loop asks and settles, so a reservation is whole before the next one is looked at: however
many calls come at once, they cannot spend more than is there.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from pacabench.amounts import NOTHING, Amount, Ceiling, charge_of, pico_of, reserve_of
from pacabench.budget.book import Account, Book
from pacabench.budget.wording import (
    about,
    cut_off,
    no_bound,
    no_room,
    over_used,
    too_large,
    unpriced,
    unpriced_before,
)
from pacabench.call_facts import Metered
from pacabench.config.budget import Limits
from pacabench.events import Listener, Notice
from pacabench.model import SCRIPTED_PROVIDER, BudgetScope, MeteredCall
from pacabench.pricing import Pricer
from pacabench.proxy.terms import Ask, Ruling


@dataclass(frozen=True, slots=True)
class Budgets:
    """All limits of a run."""

    run: Limits = field(default_factory=Limits)
    agents: Mapping[str, Limits] = field(default_factory=dict)
    """By the agent's name, of what it may use in the whole run."""
    cases: Mapping[str, Limits] = field(default_factory=dict)
    """By the agent's name, of what each attempt at a case may use."""

    def limit(self, agent: str) -> bool:
        """Calls of ``agent`` have to be asked for."""
        of_agent = (self.run, self.agents.get(agent), self.cases.get(agent))
        return any(limits is not None and limits.any for limits in of_agent)


class OverBudget(NamedTuple):
    """A call that was refused: by whose budget, and why."""

    scope: BudgetScope
    why: str


@dataclass(slots=True, eq=False)
class _Scoped(Account):
    scope: BudgetScope = "run"
    name: str = ""
    """Of the agent."""


_Asked: TypeAlias = Sequence[_Scoped]


class _Limit(NamedTuple):
    """What a call's output is limited for."""

    account: _Scoped
    is_narrowed: bool
    """The account had no room for what calls are given otherwise."""


@dataclass(slots=True)
class Treasury:
    """The accounts of the run, of each agent, and of each attempt under way.

    Args:
        budgets: the limits.
        pricer: knows what a call costs at most.
        listener: is told when a call used more than was reserved for it.
    """

    budgets: Budgets
    pricer: Pricer
    listener: Listener = lambda _: None
    on_spent: Callable[[str | None], None] = lambda _: None
    """Told, once each, whose budget is spent: an agent's name, or None for the run's."""
    _book: Book = field(default_factory=Book, init=False)
    _run: _Scoped = field(init=False)
    _of_agent: dict[str, _Scoped] = field(init=False)
    _of_attempt: dict[str, _Scoped] = field(default_factory=dict, init=False)
    _under_way: dict[str, set[str]] = field(default_factory=dict, init=False)
    """Attempt to its calls that were asked for and are not settled."""
    _refusals: dict[str, OverBudget] = field(default_factory=dict, init=False)
    _limits: dict[str, _Limit] = field(default_factory=dict, init=False)
    """Of calls that are under way, by id."""
    _spent: dict[str | None, str] = field(default_factory=dict, init=False)
    _over_used: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._run = _Scoped(Ceiling.of(self.budgets.run), scope="run")
        self._of_agent = {
            name: _Scoped(Ceiling.of(limits), scope="agent", name=name)
            for name, limits in self.budgets.agents.items()
        }

    @property
    def ceiling(self) -> Ceiling:
        """What the whole run may spend."""
        return self._run.ceiling

    @property
    def charged(self) -> Amount:
        """What the whole run has spent."""
        return self._run.spent

    @property
    def spent(self) -> Mapping[str | None, str]:
        """Whose budgets were found spent, in words: by agent; None is the run."""
        return self._spent

    def is_spent(self, agent: str) -> bool:
        """No case of ``agent`` is worth starting."""
        return None in self._spent or agent in self._spent

    def recall(self, calls: Iterable[Metered], judges: Iterable[Metered] = ()) -> None:
        """Take the books as earlier sessions left them, in place of what is known so far."""
        for account in (self._run, *self._of_agent.values()):
            account.spent = NOTHING
        unknown = 0
        for metered in calls:
            charge = charge_of(metered)
            self._run.spent += charge
            if (of_agent := self._of_agent.get(metered.key.agent)) is not None:
                of_agent.spent += charge
            unknown += _is_unpriced(metered, charge)
        for metered in judges:
            charge = charge_of(metered)
            self._run.spent += charge
            unknown += _is_unpriced(metered, charge)
        in_dollars = (it.ceiling.pico is not None for it in (self._run, *self._of_agent.values()))
        if unknown and any(in_dollars):
            self.listener(Notice("warning", unpriced_before(unknown)))
        self._look_for_spent()

    def open(self, attempt_id: str, agent: str) -> None:
        """An attempt of ``agent`` begins."""
        limits = self.budgets.cases.get(agent, Limits())
        self._of_attempt[attempt_id] = _Scoped(Ceiling.of(limits), scope="case", name=agent)

    def close(self, attempt_id: str) -> None:
        """An attempt is over, and all its calls were taken.

        What is still reserved for it was never sent: the proxy died before.
        """
        for call_id in self._under_way.pop(attempt_id, ()):
            self._book.settle(call_id, (), NOTHING)
            self._limits.pop(call_id, None)
        self._of_attempt.pop(attempt_id, None)
        self._refusals.pop(attempt_id, None)

    def refusal_of(self, attempt_id: str) -> OverBudget | None:
        """The first refusal of an attempt's calls: it is what all that came after hangs on."""
        return self._refusals.get(attempt_id)

    async def ask(self, ask: Ask) -> Ruling:
        """Reserve what a call may use at most. Waits while calls under way hold what it needs."""
        of_attempt = self._of_attempt.get(ask.attempt_id)
        accounts = self._accounts(of_attempt.name, of_attempt) if of_attempt is not None else ()
        return await self._rule(ask, accounts, self.pricer)

    async def ask_judge(self, ask: Ask, pricer: Pricer) -> Ruling:
        """As :meth:`ask`, for a call that judges an attempt's answer.

        The run pays for it alone: what an agent may use says nothing of who judges it.
        """
        accounts = [self._run] if ask.attempt_id in self._of_attempt else ()
        return await self._rule(ask, accounts, pricer)

    async def _rule(self, ask: Ask, accounts: _Asked, pricer: Pricer) -> Ruling:
        if not accounts:
            return Ruling(ask.call_id, "The attempt is over; no further calls are taken.")
        self._under_way.setdefault(ask.attempt_id, set()).add(ask.call_id)
        narrowed_for: _Scoped | None = None
        while True:
            amount = self._most_of(ask, accounts, pricer)
            if isinstance(amount, OverBudget):
                self._refusals.setdefault(ask.attempt_id, amount)
                return Ruling(ask.call_id, amount.why)
            refusing = await self._decided(ask.call_id, accounts, amount)
            if refusing is None:
                return self._granted(ask, accounts, amount, narrowed_for)
            narrower = self._narrowed(ask, accounts, pricer)
            if narrower is None:
                return Ruling(ask.call_id, self._refuse(ask, refusing, accounts, pricer))
            ask, narrowed_for = narrower, narrowed_for or refusing

    async def _decided(self, call_id: str, accounts: _Asked, amount: Amount) -> _Scoped | None:
        """Who refuses ``amount``; None once it is reserved."""
        decided: asyncio.Future[Account | None] = asyncio.get_running_loop().create_future()

        def decide(refusing: Account | None) -> None:
            if not decided.done():
                decided.set_result(refusing)

        self._book.ask(call_id, accounts, amount, decide)
        refusing = await decided
        assert refusing is None or isinstance(refusing, _Scoped)
        return refusing

    def _granted(
        self, ask: Ask, accounts: _Asked, amount: Amount, narrowed_for: _Scoped | None
    ) -> Ruling:
        """The call may go out, and its output is limited where tokens or dollars are."""
        limiting = narrowed_for or next((it for it in accounts if it.ceiling.limits_tokens), None)
        ruling = Ruling(ask.call_id, None, amount.tokens, amount.usd)
        if limiting is None or ask.input_tokens is None:
            return ruling
        narrowed = narrowed_for is not None
        self._limits[ask.call_id] = _Limit(limiting, narrowed)
        return replace(ruling, output_tokens=ask.output_tokens, is_narrowed=narrowed)

    def _narrowed(self, ask: Ask, accounts: _Asked, pricer: Pricer) -> Ask | None:
        """``ask`` with as much output as there may be room for; None: there is none for less."""

        def may_fit(output_tokens: int) -> bool:
            amount = self._most_of(replace(ask, output_tokens=output_tokens), accounts, pricer)
            return isinstance(amount, Amount) and all(it.may_fit(amount) for it in accounts)

        least, most = ask.least_output_tokens, ask.output_tokens
        if least is None or not may_fit(least):
            return None
        while least + 1 < most:
            middle = (least + most) // 2
            least, most = (middle, most) if may_fit(middle) else (least, middle)
        return replace(ask, output_tokens=least) if least < ask.output_tokens else None

    def take(self, metered: MeteredCall) -> None:
        """A call ended: charge it, and free what was reserved for it."""
        of_attempt = self._of_attempt.get(metered.call.attempt_id)
        self._charge(metered, self._accounts(metered.key.agent, of_attempt))

    def take_judge(self, metered: MeteredCall) -> None:
        """As :meth:`take`, for a call that judged."""
        self._charge(metered, [self._run])

    def _charge(self, metered: MeteredCall, accounts: _Asked) -> None:
        call, charge = metered.call, charge_of(metered)
        self._under_way.get(call.attempt_id, set()).discard(call.call_id)
        self._book.settle(call.call_id, accounts, charge)
        limit = self._limits.pop(call.call_id, None)
        if call.is_cut:
            self._note_cut(metered, limit)
        if call.reserved_tokens is not None:
            self._note_over_use(metered, charge)
        self._look_for_spent()

    def _accounts(self, agent: str, of_attempt: _Scoped | None) -> _Asked:
        """The narrowest first: it is the one that refuses."""
        of_agent = self._of_agent.get(agent)
        return [it for it in (of_attempt, of_agent, self._run) if it is not None]

    def _most_of(self, ask: Ask, accounts: _Asked, pricer: Pricer) -> Amount | OverBudget:
        """What a call uses at most; or why nobody can tell, where that has to be known."""
        for_usd = next((it for it in accounts if it.ceiling.pico is not None), None)
        for_tokens = next((it for it in accounts if it.ceiling.tokens is not None), for_usd)
        if ask.input_tokens is None:
            if for_tokens is not None:
                return OverBudget(for_tokens.scope, no_bound(for_tokens.scope, ask.doubt or ""))
            return Amount(1)
        tokens = ask.input_tokens + ask.output_tokens
        usd = None
        if ask.model is not None:
            usd = pricer.most(
                ask.provider,
                ask.model,
                input_tokens=ask.input_tokens,
                output_tokens=ask.output_tokens,
            )
        if usd is None and for_usd is not None:
            return OverBudget(for_usd.scope, unpriced(for_usd.scope, ask.provider, ask.model))
        return Amount(1, tokens, pico_of(usd or 0.0))

    def _refuse(self, ask: Ask, account: _Scoped, accounts: _Asked, pricer: Pricer) -> str:
        """Note it, and say so: a budget that a call would have fitted into at first is spent."""
        limits, spent = account.ceiling, account.spent
        if ask.least_output_tokens is not None:
            ask = replace(ask, output_tokens=ask.least_output_tokens)
        amount = self._most_of(ask, accounts, pricer)
        assert isinstance(amount, Amount)
        if limits.holds(amount):
            why = no_room(account.scope, account.name, limits, spent, amount)
        else:
            why = too_large(account.scope, account.name, limits, amount)
        self._refusals.setdefault(ask.attempt_id, OverBudget(account.scope, why))
        if limits.holds(amount) and account.scope != "case":
            self._is_spent(account)
        return why

    def _note_cut(self, metered: MeteredCall, limit: _Limit | None) -> None:
        """A call's output ended where a budget wanted it to: its attempt lacked what others had.

        Of one that a cassette answers nobody here may have limited anything.
        """
        call, scope = metered.call, limit.account.scope if limit is not None else "case"
        narrowed = limit is not None and limit.is_narrowed
        why = cut_off(scope, metered.key.agent, call.output_limit or 0, narrowed=narrowed)
        self._refusals.setdefault(call.attempt_id, OverBudget(scope, why))
        if limit is not None and narrowed and scope != "case":
            self._is_spent(limit.account)

    def _look_for_spent(self) -> None:
        for account in (self._run, *self._of_agent.values()):
            if account.used_up:
                self._is_spent(account)

    def _is_spent(self, account: _Scoped) -> None:
        whose = account.name if account.scope == "agent" else None
        if whose not in self._spent:
            self._spent[whose] = about(account.scope, account.name, account.ceiling, account.spent)
            self.on_spent(whose)

    def _note_over_use(self, metered: MeteredCall, charge: Amount) -> None:
        """Once per model: what no limit of the request held back."""
        reserved, model = reserve_of(metered), metered.call.model or ""
        over = (0 < reserved.tokens < charge.tokens) or (0 < reserved.pico < charge.pico)
        if over and model not in self._over_used:
            self._over_used.add(model)
            self.listener(Notice("warning", over_used(metered, charge, reserved)))


def _is_unpriced(metered: Metered, charge: Amount) -> bool:
    """It was billed, and no budget in dollars can tell what."""
    priced = metered.cost_usd is not None or metered.call.provider == SCRIPTED_PROVIDER
    return bool(charge.calls) and not priced and not charge.pico
