"""Has the provider go out in its place: by a search, by an MCP server, by an image at a URL."""

import json

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http, reported

_URL = "http://203.0.113.80/{}"


def attack(given: Given) -> Found:
    """See above. ``at_least`` so many of the ways have to reach the provider for it to count."""
    port, nonce = given["lane_port"], given["nonce"]
    seen = {way: raw_http(port, _request(*asked))[:200] for way, asked in _ways(nonce).items()}
    arrived = reported(port, nonce)
    through = [way for way in seen if any(f"{way}-{nonce}" in line for line in arrived)]
    return found(len(through) >= given["at_least"], through=through, answers=seen)


def _ways(nonce: str) -> dict[str, tuple[str, dict[str, object]]]:
    url = _URL.format(f"remote_urls-{nonce}")
    picture = [{"type": "image_url", "image_url": {"url": url}}]
    server = {"type": "mcp", "server_label": "far", "server_url": _URL.format("mcp")}
    return {
        "web_search": (
            "responses",
            {"input": f"web_search-{nonce}", "tools": [{"type": "web_search"}]},
        ),
        "mcp": ("responses", {"input": f"mcp-{nonce}", "tools": [server]}),
        "remote_urls": ("chat/completions", {"messages": [{"role": "user", "content": picture}]}),
    }


def _request(path: str, asked: dict[str, object]) -> bytes:
    body = json.dumps({"model": "m", **asked}).encode()
    line = f"POST /openai/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{keyed()}"
    kind = "Content-Type: application/json\r\nConnection: close\r\n"
    return f"{line}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body
