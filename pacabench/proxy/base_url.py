"""A provider's base URL as people write it."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from yarl import URL


def normalise_base_url(url: str, *, root: str = "/v1", suffixes: Sequence[str] = ()) -> str:
    """``url`` as the proxy uses it: the paths of a wire format are put behind it.

    As the provider's SDK takes it. ``root`` is added only where there is no path at all (OpenAI's
    ``/v1``, ``/api/v1`` of others); one of ``suffixes`` at its end is taken off.

    Raises:
        ValueError: it is no plain http(s) URL; says why and what to write.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
        known = URL(text)
    except ValueError as error:
        raise ValueError(f"base_url {url!r} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"base_url {url!r} has to begin with http:// or https://")
    if not parts.hostname:
        raise ValueError(f"base_url {url!r} names no host")
    if "@" in parts.netloc:
        raise ValueError("base_url must not hold a user name or key; use api_key_env for the key")
    if "?" in text or "#" in text:
        raise ValueError(f"base_url {url!r} must not have a query or a fragment")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"base_url {url!r} must not hold white space or control characters")
    path = known.raw_path.rstrip("/") or root
    suffix = next((end for end in suffixes if path.endswith(end)), "")
    return f"{known.scheme}://{known.raw_authority}{path.removesuffix(suffix)}"
