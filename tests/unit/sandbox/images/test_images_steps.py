"""What every step adds: labels, users, proxies, certificates."""

from pathlib import Path
from types import MappingProxyType

import pytest

from pacabench.sandbox.docker.images.setup import setup_step
from pacabench.sandbox.docker.images.steps import (
    complete_dockerfile,
    online_files,
    proxy_arguments,
    user_of,
)

PLAIN = b"# why\nARG BASE\nFROM ${BASE}\nRUN true\n"


def added(image: dict[str, object], *, user: str | None = None) -> list[str]:
    """The lines besides those of the Dockerfile."""
    lines = complete_dockerfile(PLAIN, {"Config": image}, user=user).decode().splitlines()
    assert [line for line in PLAIN.decode().splitlines() if line not in lines] == []
    return [line for line in lines if line.encode() not in PLAIN]


class TestCompletedDockerfile:
    """Each instruction costs a layer, so there is none without need."""

    OURS = MappingProxyType({"Labels": {"pacabench.role": "image"}})

    def test_on_an_image_of_ours_a_step_in_between_adds_nothing(self) -> None:
        assert added(dict(self.OURS)) == []

    def test_the_last_step_runs_as_somebody(self) -> None:
        assert added(dict(self.OURS), user="65532:65532") == ["USER 65532:65532"]

    def test_another_image_is_labelled(self) -> None:
        assert added({"Labels": None}) == ["LABEL pacabench.role=image"]

    def test_a_base_with_a_user_is_root_for_the_step(self) -> None:
        image = {**self.OURS, "User": "app"}
        text = complete_dockerfile(PLAIN, {"Config": image}, user="app").decode()
        assert text.endswith("FROM ${BASE}\nUSER root\nRUN true\nUSER app\n")


@pytest.mark.parametrize(
    ("said", "user"),
    [("", ""), ("root", ""), ("0", ""), ("0:0", ""), ("app", "app"), ("1000:0", "1000:0")],
)
def test_the_user_of_an_image(said: str, user: str) -> None:
    assert user_of({"Config": {"User": said}}) == user


def test_an_image_without_settings_is_roots() -> None:
    assert user_of({"Config": None}) == ""


class TestOnline:
    def test_proxies_in_both_spellings(self) -> None:
        environment = {
            "HTTP_PROXY": "http://a",
            "https_proxy": "http://b",
            "NO_PROXY": "",
            "X": "1",
        }
        assert proxy_arguments(environment) == {"HTTP_PROXY": "http://a", "https_proxy": "http://b"}

    def test_the_hosts_certificates_go_along(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_bytes(b"certificates")
        files = online_files(
            {"SSL_CERT_FILE": "/nowhere.pem", "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}
        )
        assert ("pacabench/online/ca.pem", b"certificates", 0o644) in files

    def test_a_machine_without_its_own_sends_none(self) -> None:
        assert [name for name, _, _ in online_files({})] == ["pacabench/online/run.sh"]


class TestSetupKey:
    def test_the_command_and_its_base_matter(self) -> None:
        keys = {
            setup_step("base", "make", user=None).key,
            setup_step("base", "make all", user=None).key,
            setup_step("other", "make", user=None).key,
            setup_step("base", "make", user="1:1").key,
        }
        assert len(keys) == 4

    def test_proxies_and_certificates_do_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = setup_step("base", "make", user=None).key
        monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere")
        monkeypatch.setenv("SSL_CERT_FILE", __file__)
        assert setup_step("base", "make", user=None).key == before
