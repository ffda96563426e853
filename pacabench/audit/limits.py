"""The limits that controls take away, each replaced by a wider one that is still a limit."""

from collections.abc import Callable

from pacabench.audit.attack import Body, Mutation
from pacabench.audit.bench import LIMITS, Bench
from pacabench.audit.drives.images import VOLUME

TRY_MEMORY = LIMITS.memory * 3 // 2
TRY_TMP = LIMITS.tmp_size * 3 // 2
TRY_FILES = 5_000
TMP_FILES = LIMITS.tmp_size // 4096
OPEN_FILES = 4096
TRY_OPEN = 10_000
_PIDS = 256
_WIDE_OPEN = 16_384
_LOG = {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "1"}}


def _host(**fields: object) -> Callable[[Body, Bench], Body]:
    def apply(body: Body, _: Bench) -> Body:
        body["HostConfig"] |= fields
        return body

    return apply


def _wide_tmpfs(body: Body, _: Bench) -> Body:
    """As Docker makes a tmpfs by itself, but for a size that the machine can bear."""
    places = body["HostConfig"]["Tmpfs"]
    body["HostConfig"]["Tmpfs"] = {
        place: ",".join(
            "size=64m" if option.startswith("size=") else option
            for option in options.split(",")
            if not option.startswith("nr_inodes=")
        )
        for place, options in places.items()
    }
    return body


def _ulimit(name: str, value: int) -> Callable[[Body, Bench], Body]:
    def apply(body: Body, _: Bench) -> Body:
        others = [limit for limit in body["HostConfig"]["Ulimits"] if limit["Name"] != name]
        body["HostConfig"]["Ulimits"] = [*others, {"Name": name, "Soft": value, "Hard": value}]
        return body

    return apply


def _bare_volume(body: Body, _: Bench) -> Body:
    del body["HostConfig"]["Tmpfs"][VOLUME]
    return body


MORE_PROCESSES = Mutation(
    "more-processes",
    f"the limit of processes: {_PIDS} in place of {LIMITS.pids}",
    _host(PidsLimit=_PIDS),
)
MORE_MEMORY = Mutation(
    "more-memory",
    "the memory limit: twice as much, and a /dev/shm",
    _host(
        Memory=2 * LIMITS.memory,
        MemorySwap=2 * LIMITS.memory,
        IpcMode="private",
        ShmSize=2 * LIMITS.memory,
    ),
)
WIDE_TMPFS = Mutation("wide-tmpfs", "the size and the number of files of each tmpfs", _wide_tmpfs)
BARE_VOLUME = Mutation("bare-volume", "the tmpfs over the image's VOLUME", _bare_volume)
MORE_CPUS = Mutation("more-cpus", "the limit of CPU time, for a second", _host(NanoCpus=0))
MORE_OPEN = Mutation(
    "more-open-files", f"the limit of open files: {_WIDE_OPEN}", _ulimit("nofile", _WIDE_OPEN)
)
CORES = Mutation("cores", "the limit of core files", _ulimit("core", 32 * 1024**2))
KEPT_LOG = Mutation(
    "kept-log", "the logging driver `none`: the engine keeps the output", _host(LogConfig=_LOG)
)
