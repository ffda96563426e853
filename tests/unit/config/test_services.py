"""`agents[].services`: what is refused, with its line; what decides a run's results."""

from pathlib import Path

import pytest

from pacabench.config.canonical import canonical, differences
from pacabench.config.load import LoadedConfig, load_config
from pacabench.config.services import PROXY_PORTS
from pacabench.errors import ConfigError
from pacabench.proxy.lane import LANE_PORT

DOCUMENT = Path(__file__).parents[3] / "docs" / "services.md"
GOOD = "{name: r, image: i, healthcheck: {tcp: 6379}}"


def load(folder: Path, *services: str) -> LoadedConfig:
    entries = "".join(f"      - {service}\n" for service in services)
    (folder / "F").write_text(
        "name: x\nagents:\n  - name: a\n    command: c\n    services:\n"
        f"{entries}datasets: [{{name: d, source: s}}]\n"
    )
    return load_config(folder / "F", environ={})


@pytest.mark.parametrize(
    ("services", "fault"),
    [
        (["{name: r, image: i}"], "F:6: agents[0].services[0].healthcheck: is missing"),
        (["{name: r, image: i, healthcheck: {}}"], "give one of `tcp` (a port) and `command`"),
        (
            ["{name: r, image: i, healthcheck: {tcp: 1, command: x}}"],
            "give one of `tcp` (a port) and `command`",
        ),
        (["{name: r, healthcheck: {tcp: 1}}"], "give one of `image` and `build`"),
        (
            ["{name: r, image: i, build: {}, healthcheck: {tcp: 1}}"],
            "give one of `image` and `build`",
        ),
        (
            ["{name: r, image: i, healthcheck: {tcp: 8080}}"],
            "F:6: agents[0].services[0].healthcheck: port 8080 is the proxy's: let the service",
        ),
        (
            ["{name: r, image: i, healthcheck: {tcp: 1, timeout_seconds: 3}}"],
            "`timeout_seconds` is for a `command`; a port is watched all the time",
        ),
        (["{name: r, image: i, healthcheck: {tcp: 70000}}"], "must be less than or equal to 65535"),
        (
            [GOOD, GOOD.replace("6379", "1")],
            "F:7: agents[0].services[1].name: duplicate name 'r', first at F:6",
        ),
        ([GOOD, GOOD.replace("r,", "s,")], "two services wait for port 6379"),
        (
            ["{name: r, image: i, healthcheck: {tcp: 1}, writable: [data]}"],
            "'data' is no absolute path of a directory below /",
        ),
        (
            ["{name: r, image: i, healthcheck: {tcp: 1}, writable: [/a/../..]}"],
            "is no absolute path",
        ),
        (["{name: r, image: i, healthcheck: {tcp: 1}, writable: [/]}"], "is no absolute path"),
        (
            ["{name: r, image: i, healthcheck: {tcp: 1}, writable: [/proc/x]}"],
            "'/proc/x' is the kernel's",
        ),
        (["{name: r, imagee: i, healthcheck: {tcp: 1}}"], "did you mean 'image'?"),
        ([GOOD.replace("r,", f"r{n},").replace("6379", f"{n + 1}") for n in range(9)], "at most 8"),
    ],
)
def test_faults_are_said_with_their_place(tmp_path: Path, services: list[str], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *services)
    assert fault in str(caught.value).replace(str(tmp_path / "F"), "F")


def test_shared_memory_may_be_writable_and_paths_are_tidied(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, "{name: r, image: i, healthcheck: {tcp: 1}, writable: [/dev/shm, /data//x/]}"
    )
    assert loaded.config.agents[0].services[0].writable == ("/dev/shm", "/data/x")


def test_the_proxy_has_the_ports_that_are_kept_for_it() -> None:
    assert LANE_PORT in PROXY_PORTS


def test_a_changed_service_is_a_changed_run_key_by_key(tmp_path: Path) -> None:
    other = GOOD.replace("r,", "s,").replace("6379", "1")
    first = canonical(load(tmp_path, GOOD, other))
    assert canonical(load(tmp_path, other, GOOD)) == first  # their order means nothing
    changed = canonical(load(tmp_path, GOOD.replace("image: i", "image: j, memory: 1g"), other))
    assert differences(first, changed) == [
        "agents.a.services.r.image: 'i' -> 'j'",
        "agents.a.services.r.memory: 536870912 -> 1073741824",
    ]
    assert differences(first, canonical(load(tmp_path, GOOD))) == ["agents.a.services.s: removed"]


def test_a_run_from_before_there_were_services_is_still_the_same(tmp_path: Path) -> None:
    (tmp_path / "F").write_text(
        "name: x\nagents: [{name: a, command: c}]\ndatasets: [{name: d, source: s}]\n"
    )
    assert "services" not in canonical(load_config(tmp_path / "F", environ={}))["agents"]["a"]


def test_the_documented_example_loads(tmp_path: Path) -> None:
    example = DOCUMENT.read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "F").write_text(example)
    (agent,) = load_config(tmp_path / "F", environ={}).config.agents
    assert [service.name for service in agent.services] == ["redis", "postgres"]
