"""From plain values to :class:`BenchmarkConfig`; pydantic's errors as lines that people can use."""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pacabench.config.draft import Draft
from pacabench.config.problems import KeyPath, Problems, clean, nearest, shown
from pacabench.config.scalars import resolve_scalar
from pacabench.config.schema import DUPLICATE_NAME, BenchmarkConfig
from pacabench.config.shape import every_key, is_verbatim, keys_at

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "text",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
_SECTION_TYPES = frozenset({"model_type", "dict_type", "model_attributes_type"})
_NUMBER_TYPES = frozenset({"int_type", "float_type", "bool_type"})
_NAMED_LISTS = ("agents", "datasets")
_TAGGED = ("evaluator", "of")
"""Keys whose values, or their entries, are told apart by `type`."""
_MENDING_ROUNDS = 3


def validate(draft: Draft, problems: Problems) -> BenchmarkConfig | None:
    """Check the draft against the schema; every fault goes to ``problems``.

    Strict: ``"4"`` in quotes is no number. Only what came from a variable or a flag, which are
    always text, is read as the YAML scalar it would be. None when there is a fault.
    """
    _check_names(draft, problems)
    errors: list[ErrorDetails] = []
    for _ in range(_MENDING_ROUNDS):
        try:
            config = BenchmarkConfig.model_validate_json(json.dumps(draft.tree), strict=True)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
        else:
            _check_egress(config, draft, problems)
            return None if problems.found else config
        mended = [_mend(draft, error) for error in errors]
        if not any(mended):
            break
    for error in errors:
        path = _path(draft, error)
        if not problems.covers(path) and not _is_said_already(draft, path, error["type"]):
            problems.add(_place(draft, path, error), path, _message(draft, path, error))
    return None


def _check_names(draft: Draft, problems: Problems) -> None:
    """Duplicate names, each with its own line."""
    for section in _NAMED_LISTS:
        _check_list(draft, problems, (section,))
    agents = draft.get(("agents",))
    for index in range(len(agents) if isinstance(agents, list) else 0):
        _check_list(draft, problems, ("agents", index, "services"))


def _check_list(draft: Draft, problems: Problems, section: KeyPath) -> None:
    entries = draft.get(section)
    if not isinstance(entries, list):
        return
    first: dict[str, KeyPath] = {}
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        path: KeyPath = (*section, index, "name")
        if not isinstance(name, str) or problems.covers(path):
            continue
        earlier = first.setdefault(name.strip(), path)
        if earlier != path:
            where = draft.place(earlier)
            message = f"duplicate name {shown(name.strip())}, first at {where}"
            problems.add(draft.place(path), path, message)


def _check_egress(config: BenchmarkConfig, draft: Draft, problems: Problems) -> None:
    """A list that nothing would hold an agent to is worse than none."""
    if config.sandbox.kind != "process":
        return
    places: list[tuple[KeyPath, tuple[str, ...]]] = [
        (("sandbox", "egress", "allow"), config.sandbox.allowed_web)
    ]
    for index, agent in enumerate(config.agents):
        own = agent.sandbox.egress.allow if agent.sandbox.egress is not None else ()
        places.append((("agents", index, "sandbox", "egress", "allow"), own))
    for path, allowed in places:
        if allowed:
            problems.add(
                draft.place(path),
                path,
                "the process sandbox cannot hold agents to a list, they reach the whole network; "
                "use `--sandbox docker`, or take the list away",
            )


def _is_said_already(draft: Draft, path: KeyPath, kind: str) -> bool:
    """Names were checked before; a list is not short where its entries have faults of their own.

    And a default that is made from other fields waits for those.
    """
    if kind in (DUPLICATE_NAME, "default_factory_not_called"):
        return True
    return kind == "too_short" and bool(draft.get(path))


def _mend(draft: Draft, error: ErrorDetails) -> bool:
    """Read a value as its target needs it, where that is not a guess. True if something changed."""
    path = _path(draft, error)
    value = draft.get(path)
    kind = error["type"]
    if (
        kind in _SECTION_TYPES
        and value is None
        and path
        and path[-1] in (draft.get(path[:-1]) or ())
    ):
        draft.drop(path)  # `sandbox:` with every key below it commented out
        return True
    if kind in _NUMBER_TYPES and path in draft.textual and isinstance(value, str):
        resolved = resolve_scalar(value.strip())
        if isinstance(resolved, bool | int | float):
            draft.replace(path, resolved)
            return True
    if kind == "string_type" and value is not None and is_verbatim(path, draft.tree):
        mark = draft.marks.get(path)
        if mark is not None and mark.text is not None and path not in draft.labels:
            draft.replace(path, mark.text)
            return True
    return False


def _path(draft: Draft, error: ErrorDetails) -> KeyPath:
    """The error's location without what pydantic puts in: union tags and ``[key]``."""
    path: KeyPath = ()
    loc = error["loc"]
    for index, part in enumerate(loc):
        node = draft.get(path)
        named = next((key for key in reversed(path) if isinstance(key, str)), None)
        is_tag = isinstance(node, dict) and node.get("type") == part and named in _TAGGED
        is_marker = part == "[key]" and index == len(loc) - 1
        if not (is_tag and part not in node) and not is_marker:
            path = (*path, part)
    return path


def _place(draft: Draft, path: KeyPath, error: ErrorDetails) -> str:
    return draft.place(path[:-1] if error["type"] == "missing" else path)


def _message(draft: Draft, path: KeyPath, error: ErrorDetails) -> str:
    value = draft.get(path)
    match error["type"]:
        case "extra_forbidden":
            message = _unknown_key(draft, path)
        case "missing":
            message = "is missing"
        case "union_tag_not_found":
            message = "`type` is missing"
        case "string_too_short" | "too_short":
            message = "must not be empty"
        case "literal_error" | "union_tag_invalid":
            message = _not_one_of(draft, path, error)
        case "value_error":
            message = clean(str(error["ctx"]["error"]), 300)
        case kind if kind in _WANTED:
            message = f"must be {_WANTED[kind]}, not {_kind_of(value)}{_quote_hint(kind, value)}"
        case _:
            text = (
                error["msg"].replace("Input should", "must", 1).replace("String should", "must", 1)
            )
            message = f"{text}, not {shown(value)}"
    return message


def _quote_hint(kind: str, value: Any) -> str:
    unquoted = kind in {"string_type", "path_type"} and isinstance(value, bool | int | float)
    return "; put it in quotes" if unquoted else ""


def _kind_of(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return shown(value)


def _unknown_key(draft: Draft, path: KeyPath) -> str:
    name = str(path[-1])
    siblings = keys_at(path[:-1], draft.tree)
    if (close := nearest(name, siblings)) is not None:
        return f"unknown key; did you mean {close!r}?"
    elsewhere = [key for key in every_key() if key.rpartition(".")[2] == name]
    if len(elsewhere) == 1:
        return f"unknown key here; did you mean {elsewhere[0]!r}?"
    return f"unknown key; known here: {', '.join(siblings)}"


def _not_one_of(draft: Draft, path: KeyPath, error: ErrorDetails) -> str:
    ctx = error["ctx"]
    listed = str(ctx.get("expected_tags") or ctx.get("expected", ""))
    names = [word.strip(" '") for word in listed.replace(" or ", ", ").split(",")]
    is_key = error["loc"][-1] == "[key]"
    is_tag = "expected_tags" in ctx
    value = path[-1] if is_key else ctx["tag"] if is_tag else draft.get(path)
    close = nearest(value, names) if isinstance(value, str) else None
    hint = f"; did you mean {close!r}?" if close else ""
    what = "`type` " if is_tag else ""
    return f"{what}must be one of {', '.join(names)}, not {_kind_of(value)}{hint}"
