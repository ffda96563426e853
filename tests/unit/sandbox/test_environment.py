"""What of its surroundings an agent is told."""

from pacabench.sandbox.environment import web_variables


def test_the_way_to_the_web_leaves_the_llm_proxy_alone() -> None:
    told = web_variables("http://127.0.0.1:8081")
    assert {told[name] for name in ("HTTP_PROXY", "HTTPS_PROXY")} == {"http://127.0.0.1:8081"}
    assert told["NO_PROXY"] == "127.0.0.1,localhost"
    assert {name.lower() for name in told} <= told.keys()
    assert all(told[name] == told[name.lower()] for name in told)
