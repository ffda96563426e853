"""One maker at a time, here and in other processes."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from pacabench.errors import ImageError
from pacabench.sandbox.docker.images import lock
from pacabench.sandbox.docker.images.lock import content_lock

_HOLDER = """
import asyncio, sys
from pathlib import Path
from pacabench.sandbox.docker.images.lock import content_lock
async def main():
    async with content_lock(Path(sys.argv[1]), "key"):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_tasks_take_turns(tmp_path: Path) -> None:
    inside = 0
    most = 0

    async def work(number: int) -> None:
        nonlocal inside, most
        await asyncio.sleep(0.08 * number)  # some wait for a file that its holder removes meanwhile
        async with content_lock(tmp_path, "key"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.15)
            inside -= 1

    await asyncio.gather(*(work(number) for number in range(6)))
    assert most == 1
    assert list((tmp_path / "locks").iterdir()) == []


async def test_a_cancelled_waiter_leaves_the_lock_to_others(tmp_path: Path) -> None:
    async with content_lock(tmp_path, "key"):
        waiter = asyncio.create_task(_take(tmp_path))
        await asyncio.sleep(0.05)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
    async with asyncio.timeout(5):
        await _take(tmp_path)


async def test_other_keys_do_not_wait(tmp_path: Path) -> None:
    async with asyncio.timeout(5), content_lock(tmp_path, "a"), content_lock(tmp_path, "b"):
        pass


async def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, str(tmp_path), stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        waiter = asyncio.create_task(_take(tmp_path))
        await asyncio.sleep(0.3)
        assert not waiter.done()
    finally:
        holder.kill()
        await holder.wait()
    async with asyncio.timeout(10):
        await waiter


async def _take(path: Path) -> None:
    async with content_lock(path, "key"):
        pass


async def test_a_holder_that_was_stopped_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WITHIN_S", 0.3)
    async with content_lock(tmp_path, "key"):
        with pytest.raises(ImageError, match=r"key\.lock.*is it stopped"):
            async with content_lock(tmp_path, "key"):
                pass
