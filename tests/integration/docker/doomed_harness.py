"""A harness that a test kills: opens a sandbox, makes calls, says so, and waits for its end.

python doomed_harness.py FOLDER CACHE_DIR RUN_ID PROVIDER_URL
"""

import asyncio
import hashlib
import sys
from pathlib import Path

from pacabench import owner
from pacabench.proxy.control import ProviderSpec
from tests.integration.docker.conftest import Rig, case, tell


def machine_of(run_id: str) -> str:
    """The machine that a doomed harness and its test say they are on."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:16]


async def main(folder: Path, cache_dir: Path, run_id: str, url: str) -> None:
    # A machine of its own: no other test's sweep takes this harness for a dead one of its own.
    owner._machine = lambda: machine_of(run_id)
    rig = Rig(folder, cache_dir, run_id=run_id)
    agent = rig.agent()
    provider = ProviderSpec("openai", "openai", url, "sk-real")
    async with rig.open(agent, providers=[provider]) as sandbox:
        first, second = await sandbox.start(agent), await sandbox.start(agent)
        await first.bind("done")
        await tell(first, "say(ask_model('quick'))")
        await second.bind("under-way")
        await second.send(case("say(ask_model('slow'))"), last=False)
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        await asyncio.sleep(600)


if __name__ == "__main__":
    where, cache, run, base_url = sys.argv[1:]
    asyncio.run(main(Path(where), Path(cache), run, base_url))
