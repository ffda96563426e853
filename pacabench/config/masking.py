"""Which values are secret, and what stands in their place."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pacabench.config.provider_names import PROVIDER_KEYS
from pacabench.model import JSON

Names = tuple[str, ...]

MASK = "***"
SHORTEST_SECRET = 8
"""A shorter value is masked where it stands alone, but not looked for in other texts."""
_SECRET_WORDS = frozenset(
    {
        "APIKEY",
        "AUTHORIZATION",
        "BEARER",
        "CREDENTIAL",
        "CREDENTIALS",
        "KEY",
        "PASS",
        "PASSPHRASE",
        "PASSWD",
        "PASSWORD",
        "SECRET",
        "SECRETS",
        "TOKEN",
    }
)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def looks_secret(name: str) -> bool:
    """Whether a variable of this name probably holds a secret.

    ``GITHUB_TOKEN`` does, ``MAX_TOKENS`` does not: whole words count.
    """
    upper = name.upper()
    if upper in PROVIDER_KEYS:
        return True
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^A-Z0-9]+", upper))


def secrets_in(environ: Mapping[str, str], key_names: Iterable[str]) -> frozenset[str]:
    """The values that must not be shown: of ``key_names``, and of names that look secret."""
    names = {*key_names, *(name for name in environ if looks_secret(name))}
    values = (environ.get(name, "").strip() for name in names)
    return frozenset(value for value in values if len(value) >= SHORTEST_SECRET)


def mask(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every secret in it, and the user part of every URL, replaced by ``***``."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _USERINFO.sub(MASK, text)


def digest(text: str) -> str:
    """Stands for a secret where a change of it must show but not the secret.

    Short on purpose: 32 bits tell two keys apart, and are too few to test guesses at a weak one.
    """
    return f"secret:{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def hide_secrets(
    value: JSON, secrets: frozenset[str], stand_in: Callable[[str, str], str], path: Names = ()
) -> Any:
    """``value`` (plain data of a configuration) with every secret in it replaced.

    A variable below ``env`` or ``args`` is one by its name, and ``api_key`` is; any other text
    where it holds one of ``secrets`` or a URL's user part. ``stand_in`` gets the text and the same
    text masked, and returns what is put there.
    """
    if isinstance(value, dict):
        return {
            key: hide_secrets(entry, secrets, stand_in, (*path, key))
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [hide_secrets(entry, secrets, stand_in, path) for entry in value]
    if not isinstance(value, str) or not value:
        return value
    is_variable = path[-2:-1] in {("env",), ("args",)}
    is_key = path[-1:] == ("api_key",) or (is_variable and looks_secret(path[-1]))
    masked = MASK if is_key else mask(value, secrets)
    return value if masked == value else stand_in(value, masked)
