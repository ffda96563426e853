"""``${NAME}`` in the YAML's strings."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pacabench.config.draft import Draft
from pacabench.config.problems import KeyPath, Problems, clean, nearest

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand(draft: Draft, environ: Mapping[str, str], problems: Problems) -> None:
    """Replace ``${NAME}`` and ``${NAME:-default}`` in every string of ``draft``.

    ``$${`` stands for ``${``; a ``$`` before anything else is left as it is. What a variable holds
    is not expanded again. A variable that is missing, and text that no program can be given (NUL,
    lone surrogates), go to ``problems``.
    """
    for path, text in list(_strings(draft.tree, ())):
        result = text
        try:
            result = _expanded(text, environ)
            check_text(result)
        except ValueError as error:
            problems.add(draft.place(path), path, str(error))
            result = ""
        if result != text:
            draft.replace(path, result)
            draft.textual.add(path)


def _strings(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _strings(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _strings(value, (*path, index))


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        inside = _INSIDE.fullmatch(match[1]) if match[1] is not None else None
        if inside is None:
            raise ValueError(
                f"{clean(text[match.start() :], 40)!r} is no ${{NAME}} or ${{NAME:-default}}; "
                "write $${ for a literal ${"
            )
        name, default = inside.groups()
        if default is not None:
            return environ.get(name) or default
        if name not in environ:
            raise ValueError(_missing(name, environ))
        return environ[name]

    return _REFERENCE.sub(value, text)


def _missing(name: str, environ: Mapping[str, str]) -> str:
    close = nearest(name, environ)
    hint = f" (there is {close})" if close else ""
    return (
        f"environment variable {name} is not set{hint}; set it, put it into .env, "
        f"or write ${{{name}:-default}}"
    )


def check_text(text: str) -> None:
    """Refuse what no program can be given.

    Raises:
        ValueError: a NUL character, or half a character.
    """
    if "\0" in text:
        raise ValueError("the text holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text is not valid Unicode") from None
