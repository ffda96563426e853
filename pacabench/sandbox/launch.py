"""Run as a script: set this process's resource limits, then become the agent's shell.

Limits must be set between fork and exec. A small program of our own does it safely where
``preexec_fn`` would not be, in a harness with threads. Standard library only.

    python -I -S launch.py MEMORY_BYTES FILE_BYTES COMMAND
"""

import os
import resource
import sys

OPEN_FILES = 4096


def main() -> None:
    """Set the limits named on the command line and exec ``/bin/sh -c COMMAND``."""
    memory_bytes, file_bytes = int(sys.argv[1]), int(sys.argv[2])
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    lower(resource.RLIMIT_FSIZE, file_bytes)
    if sys.platform == "linux":
        # Private writable memory. Address space would stop programs that reserve much, use little.
        lower(resource.RLIMIT_DATA, memory_bytes)
    os.execv("/bin/sh", ["/bin/sh", "-c", sys.argv[3]])  # noqa: S606 - it is the shell


def lower(which: int, value: int) -> None:
    """Set soft and hard limit to ``value``, or leave the hard limit where it is lower already."""
    _, hard = resource.getrlimit(which)
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (limit, limit))


if __name__ == "__main__":
    main()
