"""A child process and its pipes, with real processes."""

import asyncio
import os
from pathlib import Path

import pytest

from pacabench.sandbox.child import Child

MORE_THAN_A_PIPE_HOLDS = b"x" * 3_000_000
LEAVES_A_DAEMON = ["sh", "-c", "exec 3<&0; setsid sleep 3 <&3 >/dev/null 2>&1 & sleep 0.3"]
"""The daemon keeps stdin open: no broken pipe tells that nobody will read it."""


@pytest.mark.parametrize("last", [False, True], ids=["stdin open", "stdin closing"])
async def test_input_that_nobody_read_leaves_no_descriptor_watched(
    tmp_path: Path, *, last: bool
) -> None:
    """Its number goes to the next child's pipe, which would be taken for the closed one."""
    child = await Child.start(LEAVES_A_DAEMON, cwd=tmp_path, env=dict(os.environ))
    stdin = child._process.stdin
    assert stdin is not None
    number = stdin.fileno()
    child.write(MORE_THAN_A_PIPE_HOLDS, last=last)
    assert await child.exited(within_s=20)
    await child.end()
    loop = asyncio.get_running_loop()
    assert not loop.remove_writer(number)
    assert not loop.remove_reader(number)


async def test_children_after_one_another_get_their_input(tmp_path: Path) -> None:
    for _ in range(3):
        deaf = await Child.start(LEAVES_A_DAEMON, cwd=tmp_path, env=dict(os.environ))
        deaf.write(MORE_THAN_A_PIPE_HOLDS, last=True)
        assert await deaf.exited(within_s=20)
        await deaf.end()
        child = await Child.start(["cat"], cwd=tmp_path, env=dict(os.environ))
        child.write(b"hello\n", last=True)
        async with asyncio.timeout(20):
            assert await child.out.read_line() == b"hello"
        assert await child.exited(within_s=20)
        assert await child.end() == 0
