"""One lab per worker: a real sandbox, a fake internet and a neighbour, on the real engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pacabench.audit.catalogue import CATALOGUE
from pacabench.audit.lab import Lab, open_lab


@pytest.fixture(scope="session")
def events() -> list[object]:
    """What the lab told whoever watches."""
    return []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab(cache_dir: Path, events: list[object]) -> AsyncIterator[Lab]:
    async with open_lab(CATALOGUE, cache_dir=cache_dir, listener=events.append, benches=1) as made:
        yield made
