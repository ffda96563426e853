"""Whose turn it is, how many have one, and what happens when a provider is down."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacabench.proxy.pacing import Pacer, Turn
from pacabench.proxy.patience import Patience

QUICK = Patience(trip_after=3, probe_s=0.01, probe_cap_s=0.04)


class Desk:
    """A pacer, and what it told."""

    def __init__(self, patience: Patience = QUICK) -> None:
        self.states: list[str] = []
        self.notices: list[str] = []
        self.down: str | None = "no answer"
        self.probes = 0
        self.pacer = Pacer(
            "p",
            patience,
            probe=self.probe,
            on_state=lambda state, _: self.states.append(state),
            notice=self.notices.append,
        )

    async def probe(self) -> str | None:
        self.probes += 1
        return self.down

    async def turns(self, count: int, attempt: str = "a") -> list[Turn]:
        return [await self.pacer.turn(attempt) for _ in range(count)]

    def queue(self, attempt: str, order: list[str]) -> asyncio.Task[Turn]:
        async def wait() -> Turn:
            turn = await self.pacer.turn(attempt)
            order.append(attempt)
            return turn

        return asyncio.create_task(wait())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - plain state has no event
            await asyncio.sleep(0.002)


class TestLimit:
    async def test_there_is_none_until_the_provider_says_so(self) -> None:
        desk = Desk()
        await desk.turns(200)
        assert desk.pacer.limit is None

    async def test_a_429_halves_what_is_under_way_once_for_all_that_were_sent_together(
        self,
    ) -> None:
        desk = Desk()
        turns = await desk.turns(8)
        for turn in turns:
            desk.pacer.limited(turn, None)
        assert desk.pacer.limit == 4
        for turn in turns:
            desk.pacer.give_back(turn)
        later = await desk.turns(4)
        desk.pacer.limited(later[0], None)
        assert desk.pacer.limit == 2

    async def test_it_grows_by_one_per_round_and_is_lifted_far_above_where_it_began(self) -> None:
        desk = Desk()
        for turn in await desk.turns(4):
            desk.pacer.limited(turn, None)
            desk.pacer.give_back(turn)
        assert desk.pacer.limit == 2
        grown = []
        for _ in range(40):
            [turn] = await desk.turns(1)
            desk.pacer.answered(turn)
            desk.pacer.give_back(turn)
            grown.append(desk.pacer.limit)
        assert grown[:6] == [2, 2, 3, 3, 3, 4]
        assert grown[-1] is None
        assert "no longer limited" in desk.notices[-1]

    async def test_a_call_beyond_it_waits_for_one_to_end(self) -> None:
        desk = Desk()
        turns = await desk.turns(2)
        desk.pacer.limited(turns[0], None)
        waiting = asyncio.create_task(desk.pacer.turn("a"))
        desk.pacer.give_back(turns[0])
        await asyncio.sleep(0)
        assert not waiting.done()
        desk.pacer.give_back(turns[1])
        await waiting

    async def test_retry_after_is_kept_by_all(self) -> None:
        desk = Desk()
        [turn] = await desk.turns(1)
        desk.pacer.limited(turn, 0.1)
        desk.pacer.give_back(turn)
        began = asyncio.get_running_loop().time()
        await desk.pacer.turn("another")
        assert asyncio.get_running_loop().time() - began >= 0.099

    async def test_attempts_take_turns(self) -> None:
        desk = Desk()
        turns = await desk.turns(2)
        desk.pacer.limited(turns[0], None)
        order: list[str] = []
        tasks = [desk.queue(name, order) for name in ("a", "a", "a", "a", "b", "c")]
        await asyncio.sleep(0)
        desk.pacer.give_back(turns[0])
        turn = turns[1]
        for count in range(1, 7):
            desk.pacer.give_back(turn)
            await until(lambda expected=count: len(order) == expected)
            turn = next(
                task.result() for task in tasks if task.done() and task.result() is not turn
            )
            tasks = [task for task in tasks if not (task.done() and task.result() is turn)]
        assert order == ["a", "b", "c", "a", "a", "a"]

    async def test_one_who_gives_up_waiting_takes_no_turn(self) -> None:
        desk = Desk()
        turns = await desk.turns(2)
        desk.pacer.limited(turns[0], None)
        desk.pacer.give_back(turns[0])
        gone = asyncio.create_task(desk.pacer.turn("a"))
        stays = asyncio.create_task(desk.pacer.turn("b"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait({gone})
        desk.pacer.give_back(turns[1])
        await stays

    async def test_nor_does_one_who_gives_up_as_it_gets_one(self) -> None:
        desk = Desk()
        first, second = await desk.turns(2)
        desk.pacer.limited(first, None)
        desk.pacer.give_back(first)
        gone = asyncio.create_task(desk.pacer.turn("a"))
        await asyncio.sleep(0)
        desk.pacer.give_back(second)  # grants it, and before it hears of that ...
        gone.cancel()
        await asyncio.wait({gone})
        async with asyncio.timeout(5):
            await desk.pacer.turn("b")


class TestOutage:
    async def test_a_blip_is_nobodys_business(self) -> None:
        desk = Desk()
        for turn in await desk.turns(3):
            desk.pacer.failed(turn, "503")
            desk.pacer.give_back(turn)
        turn = await desk.pacer.turn("a")  # held, then let through as a trial
        assert turn.trial
        desk.pacer.answered(turn)
        assert desk.states == []
        assert not (await desk.pacer.turn("a")).trial
        await desk.pacer.close()

    async def test_successes_in_between_keep_it_up(self) -> None:
        desk = Desk()
        for _ in range(5):
            bad, good = await desk.turns(2)
            desk.pacer.failed(bad, "503")
            desk.pacer.answered(good)
        await desk.turns(1)
        assert desk.states == []

    async def test_one_call_at_a_time_is_tried_until_one_is_answered(self) -> None:
        desk = Desk()
        for turn in await desk.turns(3):
            desk.pacer.failed(turn, "503")
            desk.pacer.give_back(turn)
        order: list[str] = []
        tasks = [desk.queue(name, order) for name in "abc"]
        await until(lambda: len(order) == 1)
        desk.pacer.failed(tasks[0].result(), "still 503")
        desk.pacer.give_back(tasks[0].result())
        assert desk.states == ["down"]
        assert "still 503" in desk.pacer.why
        await until(lambda: len(order) == 2)
        desk.pacer.answered(tasks[1].result())
        await asyncio.wait(tasks)
        assert desk.states == ["down", "up"]
        assert desk.probes == 0
        await desk.pacer.close()

    async def test_a_trial_that_its_agent_left_does_not_keep_others_from_one(self) -> None:
        """Whoever waits for word that calls may be tried would wait for ever."""
        desk = Desk()
        for turn in await desk.turns(3):
            desk.pacer.failed(turn, "no")
            desk.pacer.give_back(turn)
        await until(lambda: desk.states == ["down"])
        trial = await desk.pacer.turn("a")
        assert trial.trial
        desk.pacer.give_back(trial)  # neither answered nor failed
        desk.down = None
        await until(lambda: desk.states == ["down", "trying"])
        assert (await desk.pacer.turn("a")).trial
        await desk.pacer.close()

    async def test_with_no_call_to_try_it_is_probed(self) -> None:
        desk = Desk()
        for turn in await desk.turns(3):
            desk.pacer.failed(turn, "503")
            desk.pacer.give_back(turn)
        await until(lambda: desk.probes >= 3)
        assert desk.states == ["down"]
        desk.down = None
        await until(lambda: desk.states == ["down", "trying"])
        turn = await desk.pacer.turn("a")
        assert turn.trial
        desk.pacer.failed(turn, "503")
        assert desk.states == ["down", "trying", "down"]
        await until(lambda: desk.states[-1] == "trying")
        desk.pacer.answered(await desk.pacer.turn("a"))
        assert desk.states[-1] == "up"
        await desk.pacer.close()

    async def test_the_next_outage_is_tried_as_soon_as_the_first_one_was(self) -> None:
        desk = Desk(Patience(trip_after=1, probe_s=0.02, probe_cap_s=60))
        for _ in range(2):
            [turn] = await desk.turns(1)
            desk.pacer.failed(turn, "503")
            probes = desk.probes
            await until(lambda before=probes: desk.probes >= before + 4)  # the fifth is far away
            desk.pacer.answered(turn)
            desk.pacer.give_back(turn)
        probes = desk.probes
        await asyncio.sleep(0.5)
        assert desk.probes == probes  # what is up is left alone
        assert desk.states == ["down", "up", "down", "up"]
        await desk.pacer.close()

    async def test_a_trial_that_leaves_no_answer_does_not_hold_up_the_next(self) -> None:
        desk = Desk()
        for turn in await desk.turns(3):
            desk.pacer.failed(turn, "503")
            desk.pacer.give_back(turn)
        desk.pacer.give_back(await desk.pacer.turn("a"))
        desk.pacer.answered(await desk.pacer.turn("b"))
        assert not (await desk.pacer.turn("c")).trial
        await desk.pacer.close()


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["answered", "limited", "failed", "silent", "cancelled"]),
        ),
        max_size=40,
    )
)
def test_whatever_happens_everybody_gets_a_turn(plan: list[tuple[str, str]]) -> None:
    """Nobody is forgotten, and every turn that was taken is given back."""

    async def scenario() -> tuple[Counter[str], int]:
        desk = Desk(Patience(trip_after=2, probe_s=0.001, probe_cap_s=0.002))
        desk.down = None
        served: Counter[str] = Counter()

        async def call(attempt: str, fate: str) -> None:
            if fate == "cancelled":
                task = asyncio.create_task(desk.pacer.turn(attempt))
                await asyncio.sleep(0)
                if not task.cancel():
                    desk.pacer.give_back(task.result())
                else:
                    await asyncio.wait({task})
                return
            turn = await desk.pacer.turn(attempt)
            await asyncio.sleep(0)
            if fate == "answered":
                desk.pacer.answered(turn)
            elif fate == "limited":
                desk.pacer.limited(turn, 0.001)
            elif fate == "failed":
                desk.pacer.failed(turn, "503")
            desk.pacer.give_back(turn)
            served[fate] += 1

        async with asyncio.timeout(20):
            await asyncio.gather(*(call(*entry) for entry in plan))
        await desk.pacer.close()
        return served, desk.pacer._in_flight

    served, in_flight = asyncio.run(scenario())

    assert served.total() == sum(fate != "cancelled" for _, fate in plan)
    assert in_flight == 0


def test_the_reason_is_told_to_those_who_wait() -> None:
    desk = Desk()
    assert "429" in desk.pacer.why


@pytest.mark.parametrize("asked_s", [5000.0])
async def test_a_retry_after_beyond_the_cap_holds_nobody_for_that_long(asked_s: float) -> None:
    desk = Desk(Patience(retry_after_cap_s=0.02))
    [turn] = await desk.turns(1)
    desk.pacer.limited(turn, asked_s)
    desk.pacer.give_back(turn)
    async with asyncio.timeout(5):
        await desk.pacer.turn("a")
