"""A gateway with one lane on loopback, bound to one attempt, before a provider that keeps books."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import openai
import orjson
import pytest

from pacabench.budget.treasury import Budgets, OverBudget, Treasury
from pacabench.config.schema import PriceConfig
from pacabench.events import Event, Notice
from pacabench.ledger import Ledger
from pacabench.model import CallRecord, CaseKey, MeteredCall, new_attempt_id
from pacabench.pricing import Pricer
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.excerpt import CallText
from pacabench.proxy.gateway import Gateway
from pacabench.proxy.patience import Patience
from pacabench.proxy.spool import Spool
from pacabench.proxy.tapes import Tapes
from pacabench.proxy.terms import FREE, Asking, Terms
from pacabench.testing import FakeProvider

ONE_TRY = Patience(retry_for_s=0)
REAL_KEY = "sk-real-canary-0123456789"
VIRTUAL_KEY = "pb-virtual-abcdef"
ATTEMPT = "attempt-1"


@dataclass
class Posted:
    """A reply as it came off the wire, content coding taken off."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass
class Bench:
    """What a test talks to."""

    gateway: Gateway = field(init=False)
    port: int = 0
    path: str = "/v1"
    records: list[CallRecord] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    texts: list[CallText] = field(default_factory=list)
    health: list[tuple[str, str, str]] = field(default_factory=list)
    waits: list[tuple[str, bool, float]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def client(self, **more: Any) -> openai.AsyncOpenAI:
        settings = {"base_url": self.base_url, "api_key": VIRTUAL_KEY, "max_retries": 0}
        return openai.AsyncOpenAI(**{**settings, **more})

    async def settled(self, count: int = 1) -> list[CallRecord]:
        """The records, once there are ``count``."""
        async with asyncio.timeout(20):
            while len(self.records) < count:  # noqa: ASYNC110 - a sink has no event
                await asyncio.sleep(0.005)
        assert len(self.records) == count
        return self.records

    async def post(
        self, path: str, body: dict[str, Any] | bytes, headers: Mapping[str, str] | None = None
    ) -> Posted:
        """Post ``body`` below ``/v1`` with the virtual key, with no SDK in between."""
        sent = {"Authorization": f"Bearer {VIRTUAL_KEY}", "Content-Type": "application/json"}
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                self.base_url + path,
                data=io.BytesIO(data),
                headers=sent | dict(headers or {}),
                allow_redirects=False,
            ) as reply,
        ):
            return Posted(reply.status, reply.headers, await reply.read())

    async def send_raw(self, data: bytes, *, until_closed: bool = True) -> bytes:
        """What comes back when ``data`` is written on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        async with asyncio.timeout(10):
            reply = await (reader.read() if until_closed else reader.read(65536))
        writer.close()
        return reply


def loopback_socket() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=64)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that refuses connections until somebody listens there, and that no other test gets."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def spec_for(provider: FakeProvider, name: str = "openai") -> ProviderSpec:
    return ProviderSpec(name, "openai", base_url=provider.base_url, api_key=REAL_KEY)


OpenBench = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def open_bench() -> OpenBench:
    """Opens a bench over the given provider specs; the first one is the default."""

    @asynccontextmanager
    async def open_(
        *specs: ProviderSpec,
        spool: Spool | None = None,
        patience: Patience = ONE_TRY,
        live_waits: bool = False,
        quiet: bool = True,
        tapes: Tapes | None = None,
        attempt: str = ATTEMPT,
        terms: Terms = FREE,
        on_ask: Asking | None = None,
        on_call: Callable[[CallRecord], None] = lambda _: None,
    ) -> AsyncIterator[Bench]:
        made = Bench()

        def take(record: CallRecord) -> None:
            on_call(record)
            made.records.append(record)

        gateway = Gateway(
            specs,
            specs[0].name,
            take,
            spool,
            on_notice=made.notices.append,
            on_text=made.texts.append,
            on_health=lambda *health: made.health.append(health),
            on_wait=lambda *wait: made.waits.append(wait),
            live_waits=live_waits,
            patience=patience,
            tapes=tapes,
            on_ask=on_ask,
        )
        async with gateway:
            sock = loopback_socket()
            made.gateway, made.port = gateway, sock.getsockname()[1]
            await gateway.add_lane("lane-1", sock)
            gateway.bind("lane-1", attempt, VIRTUAL_KEY, terms)
            yield made
        assert not (quiet and made.notices)

    return open_


KEY = CaseKey("agent", "data", "case-1")
PRICES = {"m": PriceConfig(input=1.0, output=10.0)}
"""Dollars per million tokens."""


@dataclass
class Bank:
    """A ledger and a treasury as a run has them, for one attempt."""

    budgets: Budgets
    prices: dict[str, PriceConfig] = field(default_factory=lambda: PRICES)
    attempt: str = field(default_factory=lambda: new_attempt_id(KEY))
    journal: list[MeteredCall] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    spent: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        pricer = Pricer([ProviderSpec("openai", "openai", "http://x")], self.prices)
        self.treasury = Treasury(self.budgets, pricer, self.note, self.spent.append)
        self.ledger = Ledger(
            cost=pricer.cost,
            journal=self.journal.append,
            listener=self.note,
            charge=self.treasury.take,
        )
        self.ledger.open(self.attempt, KEY)
        self.treasury.open(self.attempt, KEY.agent)

    def note(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)

    @property
    def refusal(self) -> OverBudget | None:
        return self.treasury.refusal_of(self.attempt)


Open = Callable[..., Any]


@pytest.fixture
def open_budgeted(open_bench: OpenBench) -> Open:
    @asynccontextmanager
    async def open_(bank: Bank, *specs: ProviderSpec, **more: Any) -> AsyncIterator[Bench]:
        terms = replace(Terms(budgeted=True, default_max_output=100), **more.pop("terms", {}))
        async with open_bench(
            *specs,
            attempt=bank.attempt,
            terms=terms,
            on_ask=bank.treasury.ask,
            on_call=bank.ledger.take,
            **more,
        ) as it:
            yield it

    return open_
