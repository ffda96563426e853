"""Lanes: private network namespaces with nothing but loopback and the proxy's port.

Each is kept by a small container of ours, as a pod is by its pause container. A lane serves one
agent container at a time, with its services: two in it could talk to each other.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pacabench.aio import finish
from pacabench.config.schema import MOST_SERVICES
from pacabench.errors import SandboxError
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.profile import holder_container
from pacabench.sandbox.docker.sidecar import LaneLink, Sidecar

UP_WITHIN_S = 20
_FIRST_UID = 20_000
_UIDS_PER_LANE = 1 + MOST_SERVICES
_UID_BLOCKS = 40_000 // _UIDS_PER_LANE


@dataclass(eq=False, slots=True)
class Lane:
    """One lane."""

    lane_id: str
    holder: str
    """Container id."""
    uid: int
    """Of the agents in it. Those right above it are for their services."""
    link: LaneLink
    rooted: bool = False
    """Its agents run as root, and may write to the files that a lane's containers share
    (/etc/hosts and the like). No other agent ever comes into it."""
    spoiled: bool = False
    """Something in it could not be removed or unbound: never used again."""

    @property
    def usable(self) -> bool:
        """Whether another agent may go into it."""
        return not self.spoiled and not self.link.down.is_set()


@dataclass(frozen=True, slots=True)
class HolderRecipe:
    """What lane holders are made of."""

    image: str
    volume: str
    labels: Mapping[str, str]
    ports: Sequence[int]
    """Opened in each lane: the proxy's, and the web's where some agent may reach some of it."""


class LanePool:
    """The lanes of one sidecar, made as they are needed, at most ``most`` in use."""

    def __init__(
        self, engine: Engine, sidecar: Sidecar, recipe: HolderRecipe, *, most: int
    ) -> None:
        self._engine = engine
        self._sidecar = sidecar
        self._recipe = recipe
        self._places = asyncio.Semaphore(most)
        self._free: list[Lane] = []
        self._all: set[Lane] = set()
        self._next_block = secrets.randbelow(_UID_BLOCKS)

    async def acquire(self, *, rooted: bool = False) -> Lane:
        """A lane with nobody in it. Waits while ``most`` are in use.

        ``rooted``: for an agent that runs as root.

        Raises:
            SandboxError: a new one cannot be made.
        """
        await self._places.acquire()
        try:
            while (lane := self._take_free(rooted=rooted)) is not None:
                if lane.usable:
                    return lane
                await finish(self._remove(lane))
            return await self._make(rooted=rooted)
        except BaseException:
            self._places.release()
            raise

    def _take_free(self, *, rooted: bool) -> Lane | None:
        for place in reversed(range(len(self._free))):
            if self._free[place].rooted == rooted:
                return self._free.pop(place)
        return None

    async def release(self, lane: Lane) -> None:
        """Give a lane back, once its agent's container is gone. One that is not usable goes."""
        try:
            if lane.usable:
                self._free.append(lane)
            else:
                await self._remove(lane)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Remove every lane.

        Raises:
            SandboxError: a holder cannot be removed.
        """
        await asyncio.gather(*(self._remove(lane) for lane in list(self._all)))

    async def _make(self, *, rooted: bool) -> Lane:
        self._next_block = (self._next_block + 1) % _UID_BLOCKS
        lane_id = secrets.token_hex(8)
        lane = Lane(
            lane_id=lane_id,
            holder="",
            uid=_FIRST_UID + self._next_block * _UIDS_PER_LANE,
            link=self._sidecar.link(lane_id),
            rooted=rooted,
        )
        self._all.add(lane)
        try:
            await finish(self._start_holder(lane))
            await self._wait_up(lane)
        except BaseException:
            await finish(self._remove(lane))
            raise
        return lane

    async def _wait_up(self, lane: Lane) -> None:
        for _ in range(UP_WITHIN_S):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await lane.link.up.wait()
                break
            with contextlib.suppress(TimeoutError):
                end = await containers.read_end(self._engine, lane.holder, within_s=0)
                raise SandboxError(f"a lane holder ended before its lane was up ({end})")
        else:
            raise SandboxError(f"a lane holder did not reach the sidecar within {UP_WITHIN_S} s")
        if not lane.usable:
            raise SandboxError("a lane went down before it was used")

    async def _start_holder(self, lane: Lane) -> None:
        doing = "starting a lane holder"
        ports = ",".join(map(str, self._recipe.ports))
        body = holder_container(
            image=self._recipe.image,
            command=["python3", "-m", "pacabench.proxy.lane", lane.lane_id, ports],
            volume=self._recipe.volume,
            labels=self._recipe.labels,
        )
        lane.holder = await containers.create(self._engine, body, doing=doing)
        await containers.start(self._engine, lane.holder, doing=doing)

    async def _remove(self, lane: Lane) -> None:
        lane.spoiled = True
        if lane in self._free:
            self._free.remove(lane)
        if lane.holder:
            await containers.remove(self._engine, lane.holder)
        self._sidecar.unlink(lane.lane_id)
        self._all.discard(lane)
