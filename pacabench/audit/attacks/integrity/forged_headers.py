"""Asks the model with headers and fields that tell a gullible proxy what to book for whom."""

import http.client
import json
import os
import socket

from pacabench.audit.attacks.kit import Found, Given, found

_WITHIN_S = 10
_NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_FORGED = {
    "X-Usage": json.dumps(_NOTHING),
    "X-Total-Tokens": "0",
    "X-Cost": "0",
    "X-Attempt-Id": "somebody-else",
    "X-Pacabench-Attempt": "somebody-else",
    "X-Pacabench-Lane": "0000000000000000",
    "X-Forwarded-For": "127.0.0.1",
    "X-Request-Id": "already-booked",
    "Idempotency-Key": "already-booked",
}


def attack(given: Given) -> Found:
    """See above. Tells how many replies it got; whether they were booked, the harness knows."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "usage": _NOTHING,
        "metadata": {"attempt_id": "somebody-else", "usage": _NOTHING},
        "stream_options": None,
    }
    headers = {
        **_FORGED,
        "Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
        "Content-Type": "application/json",
    }
    with socket.create_connection(("127.0.0.1", given["lane_port"]), _WITHIN_S) as sock:
        sock.sendall(_request(headers, json.dumps(body).encode()))
        reply = http.client.HTTPResponse(sock, method="POST")
        reply.begin()
        said = json.loads(reply.read())["choices"][0]["message"]["content"]
    return found(False, replies=1, said=said)


def _request(headers: dict[str, str], body: bytes) -> bytes:
    """All of it with one write: simple proxies read no further."""
    lines = ["POST /openai/v1/chat/completions HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
