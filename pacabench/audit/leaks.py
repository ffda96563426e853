"""Careless harnesses: what each of them lets an agent see, planted by one change of the body."""

from pacabench.audit.attack import Body, Mutation
from pacabench.audit.bench import Bench


def _environment(body: Body, bench: Bench) -> Body:
    ground = bench.ground
    body["Env"] = [*body["Env"], f"REAL_KEY={ground.key_canary}", f"A={ground.expected_canary}"]
    return body


def _arguments(body: Body, bench: Bench) -> Body:
    """Behind the program, as an option would be; and a mount is named after the data set."""
    ground = bench.ground
    body["Entrypoint"] = [*body["Entrypoint"], f"--key={ground.key_canary}"]
    place = f"/mnt/{ground.expected_canary}"
    body["HostConfig"]["Tmpfs"] = {**body["HostConfig"]["Tmpfs"], place: "size=1m"}
    return body


def _hostname(body: Body, bench: Bench) -> Body:
    body["HostConfig"]["NetworkMode"] = bench.ground.network
    body["Hostname"] = bench.ground.expected_canary
    return body


IN_ENVIRONMENT = Mutation(
    "key-in-environment",
    "the virtual key: the real one and an answer are in the environment",
    _environment,
)
IN_ARGUMENTS = Mutation(
    "key-in-arguments",
    "the key on the sidecar's stdin: it is an argument, and a mount is named after an answer",
    _arguments,
)
IN_HOSTNAME = Mutation(
    "telling-hostname", "opaque names: the host's name says what is expected", _hostname
)
