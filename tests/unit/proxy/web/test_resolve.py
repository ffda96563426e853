"""Names become addresses."""

import socket
from pathlib import Path
from typing import Any

import pytest

from pacabench.proxy.web.resolve import look_up


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the system is asked for; it has an address for each."""
    names: list[str] = []

    def answer(name: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        names.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 0))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return names


async def test_no_search_domain_is_tried(asked: list[str], tmp_path: Path) -> None:
    assert await look_up("example.org", hosts=tmp_path / "none") == ["93.184.215.14"]
    assert asked == ["example.org."]


async def test_the_hosts_file_is_asked_for_the_names_that_are_in_it(
    asked: list[str], tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.7\tOther.test in.test # not.test\n")
    for name in ("in.test", "other.test", "not.test", "192.0.2.7", "n.test"):
        await look_up(name, hosts=hosts)
    assert asked == ["in.test", "other.test", "not.test.", "192.0.2.7.", "n.test."]


async def test_a_name_of_the_real_hosts_file_resolves() -> None:
    assert "127.0.0.1" in await look_up("localhost")
