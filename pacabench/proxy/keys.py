"""Where SDKs put a key, and how a path is written without one."""

import re
from collections.abc import Mapping, Sequence

from pacabench.proxy.sigv4 import SCHEME

KEY_PARAMETER = "key"
"""Google's SDKs may send the key in the URL."""
_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_SIGNED = re.compile(rf"{SCHEME} Credential=([^/,\s]+)/")
_IN_QUERY = re.compile(r"(?<=[?&]key=)[^&#]*")


def presented_keys(headers: Mapping[str, str], query: Mapping[str, str]) -> Sequence[str]:
    """Every key that a request carries, wherever its SDK puts it; ``headers`` ignore case.

    What is signed the AWS way carries the key as access key id; the signature itself says nothing
    here, since the request came over the lane's own socket.
    """
    found = []
    if "Authorization" in headers:
        authorization = headers["Authorization"]
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "bearer":
            found.append(rest.strip())
        elif signed := _SIGNED.match(authorization):
            found.append(signed[1])
    for name in _HEADERS:
        if name in headers:
            found.append(headers[name].strip())  # noqa: PERF401 - a loop costs less than a call
    if KEY_PARAMETER in query:
        found.append(query[KEY_PARAMETER])
    return found


def without_key(target: str) -> str:
    """A request's target as it may be written down."""
    return _IN_QUERY.sub("[key]", target) if "key=" in target else target
