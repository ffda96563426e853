"""Names of models: which a request asks for, which may be asked for, and which are the same."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pacabench.proxy.tools.rules import folded

_PREFIX = "models/"
"""Google's SDKs put it before every name."""
_VERSION = re.compile(
    r"(?:[-@:](?:latest|preview|\d{3,8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{2}-\d{4}|0|v\d+(?::\d+)?))+$"
)
"""What names end with that say when or how a model was made, not which it is."""
_SERVICE = re.compile(r":(?:free|nitro|floor|online|exacto|extended|beta)$")
"""OpenRouter's ways to serve one and the same model."""
_WITHOUT_NAMES = frozenset({"azure_openai", "scripted"})
"""Providers that are asked for something else than a model: a deployment, anything at all."""


def asked_models(model: str | None, request: Mapping[str, Any]) -> Iterator[str | None]:
    """Every model that may answer ``request``, which asks for ``model``; None: it names none.

    OpenRouter takes a list of models to fall back on, and other gateways one of fallbacks; Google's
    batches name the model in each request.
    """
    yield model
    for key, value in request.items():
        if folded(key) in ("models", "fallbacks"):
            yield from _named(value)
    if isinstance(request.get("model"), str):
        yield request["model"].removeprefix(_PREFIX)
    requests = request.get("requests")
    for inner in requests if isinstance(requests, list) else []:
        if isinstance(inner, dict) and inner.get("model") is not None:
            yield from _named([inner["model"]])


def _named(entries: Any) -> Iterator[str | None]:
    if entries is None:
        return
    for entry in entries if isinstance(entries, list) else [entries]:
        name = entry.get("model") if isinstance(entry, dict) else entry
        yield name.removeprefix(_PREFIX) if isinstance(name, str) else None


def is_allowed(model: str | None, patterns: Iterable[str]) -> bool:
    """One of ``patterns`` is the name of ``model``, ``*`` standing for any text."""
    return model is not None and any(_fits(model, pattern) for pattern in patterns)


def _fits(name: str, pattern: str) -> bool:
    pieces = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(pieces), name, re.DOTALL) is not None


@lru_cache(maxsize=1024)
def is_other_model(provider: str, asked: str | None, answered: str | None) -> bool:
    """``answered`` is no name of the model that was ``asked`` for.

    A name without a date is also that of each dated one, and ``-latest`` of any; two dates are two
    models.
    """
    if not asked or not answered or provider in _WITHOUT_NAMES:
        return False
    one, other = _bare(asked), _bare(answered)
    if one == other:
        return False
    one_name, one_version = _parted(one)
    other_name, other_version = _parted(other)
    if one_version.endswith("latest"):
        # "gemini-flash-latest" is answered by "gemini-2.5-flash".
        return not _is_within(one_name.split("-"), other_name.split("-"))
    if one_name != other_name:
        return True
    short, long = sorted((one_version.strip("-0"), other_version.strip("-0")), key=len)
    # "text-embedding-ada-002" is answered by "text-embedding-ada-002-v2".
    return bool(short) and not (long.startswith(short) and long[len(short) :][:1] in "-@:")


def _bare(name: str) -> str:
    """Without who serves it: ``models/``, ``openai/``, ``:free``; and whatever the case."""
    return _SERVICE.sub("", name.casefold().rpartition("/")[2])


def _parted(name: str) -> tuple[str, str]:
    found = _VERSION.search(name)
    return (name, "") if found is None else (name[: found.start()], found[0])


def _is_within(few: list[str], many: list[str]) -> bool:
    """All of ``few`` are in ``many``, in this order."""
    rest = iter(many)
    return all(part in rest for part in few)
