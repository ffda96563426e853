"""Where SDKs put a key, and how a path is written without one."""

import re
from collections.abc import Iterator, Mapping

from pacabench.proxy.sigv4 import SCHEME

KEY_PARAMETER = "key"
"""Google's SDKs may send the key in the URL."""
_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_SIGNED = re.compile(rf"{SCHEME} Credential=([^/,\s]+)/")
_IN_QUERY = re.compile(r"(?<=[?&]key=)[^&#]*")


def presented_keys(headers: Mapping[str, str], query: Mapping[str, str]) -> Iterator[str]:
    """Every key that a request carries, wherever its SDK puts it; ``headers`` ignore case.

    What is signed the AWS way carries the key as access key id; the signature itself says nothing
    here, since the request came over the lane's own socket.
    """
    authorization = headers.get("Authorization", "")
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        yield rest.strip()
    if signed := _SIGNED.match(authorization):
        yield signed[1]
    for name in _HEADERS:
        if name in headers:
            yield headers[name].strip()
    if KEY_PARAMETER in query:
        yield query[KEY_PARAMETER]


def without_key(target: str) -> str:
    """A request's target as it may be written down."""
    return _IN_QUERY.sub("[key]", target)
