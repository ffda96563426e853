"""Which network the sidecar needs: the least that reaches every provider."""

from dataclasses import replace

import pytest

from pacabench.errors import SandboxUnavailableError
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.web.addresses import AddressPolicy
from pacabench.sandbox.docker.sidecar_network import machine_addresses, plan_network

LINUX = {"OperatingSystem": "Debian GNU/Linux 12", "SecurityOptions": ["name=seccomp"]}
DESKTOP = {"OperatingSystem": "Docker Desktop"}
SCRIPTED = ProviderSpec("scripted", "scripted")


def through(proxy: str) -> ProviderSpec:
    url = "https://api.openai.com/v1"
    return ProviderSpec("openai", "openai", url, "sk-x", forward_proxy=proxy)


def test_a_forward_proxy_on_this_machine_counts_as_the_provider() -> None:
    assert plan_network([through("http://gate:3128")], {}).kind == "bridge"
    assert plan_network([through("http://127.0.0.1:3128")], {}, platform="linux").kind == "host"
    desktop = {"OperatingSystem": "Docker Desktop"}
    [spec] = plan_network([through("http://me:word@localhost:3128")], desktop).providers
    assert spec.forward_proxy == "http://me:word@host.docker.internal:3128"
    assert spec.base_url == "https://api.openai.com/v1"


def openai(base_url: str) -> ProviderSpec:
    return ProviderSpec("openai", "openai", base_url, "sk-x")


def test_a_scripted_provider_needs_no_network() -> None:
    assert plan_network([SCRIPTED], LINUX, platform="linux").kind == "none"


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://127.0.0.1:9/v1"])
def test_a_replayed_provider_needs_no_network_wherever_it_is(url: str) -> None:
    sealed = replace(openai(url), api_key=None, sealed=True)
    assert plan_network([sealed], {"OperatingSystem": "Linux"}).kind == "none"


def test_no_provider_needs_no_network() -> None:
    assert plan_network([], LINUX, platform="linux").kind == "none"


@pytest.mark.parametrize("providers", [[], [SCRIPTED]])
def test_for_the_web_it_needs_a_bridge_though_no_provider_does(
    providers: list[ProviderSpec],
) -> None:
    assert plan_network(providers, LINUX, web=True, platform="linux").kind == "bridge"


def test_the_machines_addresses_are_ones() -> None:
    found = machine_addresses()
    assert "127.0.0.1" in found
    AddressPolicy(found)


def test_a_provider_elsewhere_needs_a_bridge() -> None:
    plan = plan_network([SCRIPTED, openai("https://llm.example/v1")], LINUX, platform="linux")
    assert (plan.kind, plan.notice) == ("bridge", None)


LOCAL = [
    "http://localhost:11434/v1",
    "http://LOCALHOST/v1",
    "http://localhost.:1/v1",
    "http://ollama.localhost:1/v1",
    "http://127.0.0.1:8000/v1",
    "http://127.9.9.9:8000/v1",
    "http://[::1]:8000/v1",
    "http://0.0.0.0:8000/v1",
]


@pytest.mark.parametrize("url", LOCAL)
def test_on_linux_a_provider_on_this_machine_gives_the_sidecar_the_hosts_network(url: str) -> None:
    plan = plan_network([openai(url)], LINUX, platform="linux")
    assert plan.kind == "host"
    assert list(plan.providers) == [openai(url)]
    assert plan.notice is not None
    assert "sidecar" in plan.notice


@pytest.mark.parametrize("url", LOCAL)
def test_in_docker_desktop_the_host_has_a_name(url: str) -> None:
    plan = plan_network([openai(url), SCRIPTED], DESKTOP, platform="linux")
    assert plan.kind == "bridge"
    assert plan.providers[0].base_url is not None
    assert plan.providers[0].base_url.startswith("http://host.docker.internal")
    assert plan.providers[1] == SCRIPTED
    assert plan.notice is not None


def test_the_port_and_path_stay_when_the_host_is_replaced() -> None:
    plan = plan_network([openai("http://localhost:11434/v1")], DESKTOP, platform="darwin")
    assert plan.providers[0].base_url == "http://host.docker.internal:11434/v1"


@pytest.mark.parametrize("url", ["http://notlocalhost/v1", "http://localhost.example/v1"])
def test_a_name_that_only_looks_local_is_elsewhere(url: str) -> None:
    assert plan_network([openai(url)], LINUX, platform="linux").kind == "bridge"


def test_a_rootless_engine_cannot_reach_loopback_and_says_so() -> None:
    info = {**LINUX, "SecurityOptions": ["name=seccomp", "name=rootless"]}
    with pytest.raises(SandboxUnavailableError, match="rootless"):
        plan_network([openai("http://localhost:1/v1")], info, platform="linux")
