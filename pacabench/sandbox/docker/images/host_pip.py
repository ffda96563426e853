"""Runs pip on this machine for another one, and lets it start no program.

A script and not a module: ``python -P host_pip.py MARKERS PIP-ARGUMENTS...``, where MARKERS is a
JSON object. Two things that pip's own options do not do:

- ``--only-binary`` does not hold for local directories and version control; those would run the
  requirement's own code here. So starting a program is refused, whatever the reason.
- ``--python-version`` and ``--platform`` choose wheels, but conditions such as
  ``; sys_platform == "linux"`` are still judged by this interpreter. So MARKERS takes its place.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

REFUSAL = "PacaBench builds nothing on this machine"
_STARTS = frozenset({"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"})
_ALLOWED = ("keyring", "ld-musl-")
"""Programs that pip needs for itself: an index's credentials, this machine's C library."""


def forbid_programs(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook (PEP 578): it cannot be taken away again."""
    if event == "subprocess.Popen":
        program = Path(os.fsdecode(arguments[0] or arguments[1][0])).name
        if not program.startswith(_ALLOWED):
            raise PermissionError(f"{REFUSAL} (it would have to start {program})")
    elif event in _STARTS:
        raise PermissionError(REFUSAL)


def main() -> None:
    """Patch, then become pip."""
    markers: dict[str, str] = json.loads(sys.argv.pop(1))
    import pip._vendor.packaging.markers as judge  # noqa: PLC0415

    environment = {**judge.default_environment(), **markers}
    vars(judge)["default_environment"] = environment.copy
    sys.addaudithook(forbid_programs)
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
