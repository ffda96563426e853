"""A JSON Schema in the configuration, checked before any agent runs."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator

from pacabench.config.patterns import compile_pattern

_DEEPEST = 64


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    # Slow to import, every command reads the configuration, and few configurations have a schema.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its root"
        raise ValueError(f"is no JSON Schema: at {place}: {error.message[:200]}") from None
    _check(schema, schema, 0)
    return schema


def _check(node: Any, root: dict[str, Any], depth: int) -> None:
    """Nothing is fetched for a schema, and every pattern in it can be stopped."""
    if depth > _DEEPEST:
        raise ValueError("is nested too deeply for a JSON Schema")
    if isinstance(node, dict):
        _check_keywords(node, root)
    for value in _entries(node):
        _check(value, root, depth + 1)


def _check_keywords(node: dict[str, Any], root: dict[str, Any]) -> None:
    for name in ("$ref", "$dynamicRef"):
        reference = node.get(name)
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError(f"`{name}: {reference}` leads out of the schema; write `#/...`")
    if "unevaluatedProperties" in node and _has_key(root, "patternProperties"):
        raise ValueError(
            "`unevaluatedProperties` does not go together with `patternProperties`, whose patterns "
            "could not be stopped there"
        )
    of_keys = node.get("patternProperties")
    patterns = [node.get("pattern"), *(of_keys if isinstance(of_keys, dict) else ())]
    for pattern in patterns:
        if isinstance(pattern, str):
            compile_pattern(pattern)


def _entries(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _has_key(node: Any, name: str) -> bool:
    if isinstance(node, dict) and name in node:
        return True
    return any(_has_key(entry, name) for entry in _entries(node))


JsonSchema = Annotated[dict[str, Any], AfterValidator(_schema)]
