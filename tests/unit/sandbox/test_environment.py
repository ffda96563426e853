"""What an agent finds in its environment: the proxy, in the words of each provider's SDK."""

from pacabench.config.provider_names import KNOWN_PROVIDERS, PROVIDER_KEYS
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.kinds import KINDS
from pacabench.sandbox.environment import _OF_KIND, agent_variables, web_variables

ORIGIN = "http://127.0.0.1:8080"


def variables(*kinds: str) -> dict[str, str]:
    specs = [ProviderSpec(kind, kind, "http://x") for kind in kinds]
    return agent_variables({}, origin=ORIGIN, key="virtual", providers=specs)


def test_every_provider_has_its_variables_and_its_format() -> None:
    assert _OF_KIND.keys() == KINDS == KNOWN_PROVIDERS.keys()


def test_only_the_configured_ones_are_named() -> None:
    assert variables("anthropic") == {
        "ANTHROPIC_BASE_URL": ORIGIN,
        "ANTHROPIC_API_BASE": ORIGIN,
        "ANTHROPIC_API_KEY": "virtual",
    }


def test_scripted_serves_every_format() -> None:
    found = variables("scripted")
    assert found["OPENAI_BASE_URL"] == f"{ORIGIN}/v1"
    assert found["ANTHROPIC_BASE_URL"] == found["GOOGLE_GEMINI_BASE_URL"] == ORIGIN
    assert found["AZURE_OPENAI_ENDPOINT"] == f"{ORIGIN}/scripted"
    assert found["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] == f"{ORIGIN}/scripted"


def test_the_first_provider_has_the_shared_names() -> None:
    found = variables("mistral", "openai")
    assert found["OPENAI_BASE_URL"] == f"{ORIGIN}/v1"
    assert found["MISTRAL_API_BASE"] == f"{ORIGIN}/mistral/v1"


def test_no_real_key_can_come_through() -> None:
    for kind in KINDS - {"scripted"}:
        for name, value in variables(kind).items():
            if name in PROVIDER_KEYS:
                assert value == "virtual"


def test_without_a_proxy_there_is_no_way() -> None:
    assert agent_variables({"A": "b"}, origin=None, key="", providers=[]) == {"A": "b"}


def test_the_way_to_the_web_leaves_the_llm_proxy_alone() -> None:
    told = web_variables("http://127.0.0.1:8081")
    assert {told[name] for name in ("HTTP_PROXY", "HTTPS_PROXY")} == {"http://127.0.0.1:8081"}
    assert told["NO_PROXY"] == "127.0.0.1,localhost"
    assert {name.lower() for name in told} <= told.keys()
    assert all(told[name] == told[name.lower()] for name in told)
