"""Walks the schema: which keys exist below a path. For suggestions and environment variables."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pacabench.config.base import Section, Verbatim
from pacabench.config.draft import child
from pacabench.config.problems import KeyPath
from pacabench.config.schema import BenchmarkConfig


def sections_at(path: KeyPath, tree: object) -> list[type[Section]]:
    """The models that a mapping at ``path`` may be.

    Several only for an evaluator whose ``type`` in ``tree`` names none.
    """
    return list(_sections(_annotation_at(path, tree)))


def keys_at(path: KeyPath, tree: object) -> list[str]:
    """The keys that a mapping at ``path`` may have."""
    annotation = _annotation_at(path, tree)
    keys = [name for section in _sections(annotation) for name in section.model_fields]
    if (value := _dict_types(annotation)) is not None and get_origin(value[0]) is Literal:
        keys.extend(get_args(value[0]))
    return list(dict.fromkeys(keys))


def is_verbatim(path: KeyPath, tree: object) -> bool:
    """Whether the value at ``path`` is text as it stands in the file, quoted or not."""
    return any(isinstance(mark, Verbatim) for mark in _metadata(_annotation_at(path, tree)))


def is_known(path: KeyPath) -> bool:
    """Whether the schema has ``path``, a section or a value."""
    return _annotation_at(path, {}) is not None


def is_single(path: KeyPath) -> bool:
    """Whether one text can be the value at ``path``: neither section, mapping nor list."""
    annotation = _annotation_at(path, {})
    return (
        annotation is not None
        and not list(_sections(annotation))
        and _dict_types(annotation) is None
        and _item_type(annotation) is None
    )


def locate(parts: list[str]) -> KeyPath | None:
    """The path that the parts of an environment variable's name mean; names of keys ignore case."""
    path: KeyPath = ()
    for part in parts:
        found = _dict_types(_annotation_at(path, {}))
        free = found is not None and get_origin(found[0]) is not Literal
        path = (*path, part if free else part.lower())
    return path if is_known(path) else None


def single_keys() -> list[KeyPath]:
    """Every key outside lists and free mappings that takes a single value."""
    return list(_walk_single(BenchmarkConfig, ()))


def every_key() -> list[str]:
    """Every key of the schema, dotted; entries of lists and mappings are left out of the path."""
    return list(dict.fromkeys(_walk_all(BenchmarkConfig, "")))


def _walk_single(section: type[Section], path: KeyPath) -> Iterator[KeyPath]:
    for name in section.model_fields:
        below = (*path, name)
        if is_single(below):
            yield below
        for inner in sections_at(below, {}):
            yield from _walk_single(inner, below)


def _walk_all(
    section: type[Section], prefix: str, above: tuple[type[Section], ...] = ()
) -> Iterator[str]:
    """Keys of ``section`` and below.

    Sections may hold themselves, as evaluators do: what was met ``above`` is not told again.
    """
    for name, info in section.model_fields.items():
        yield f"{prefix}{name}"
        annotation = _full(info)
        item = _item_type(annotation)
        value = _dict_types(annotation)
        sections = tuple(_sections(item or (value[1] if value else annotation)))
        for inner in sections:
            others = tuple(other for other in sections if other is not inner)
            if inner not in above:
                yield from _walk_all(inner, f"{prefix}{name}.", (*above, section, *others))


def _annotation_at(path: KeyPath, tree: object) -> Any:
    annotation: Any = BenchmarkConfig
    node = tree
    for part in path:
        annotation = _step(annotation, part, node)
        if annotation is None:
            return None
        node = child(node, part)
    return annotation


def _step(annotation: Any, part: str | int, node: object) -> Any:
    if isinstance(part, int):
        return _item_type(annotation)
    found = _dict_types(annotation)
    if found is not None:
        keys, value = found
        return value if get_origin(keys) is not Literal or part in get_args(keys) else None
    candidates = list(_sections(annotation))
    tag = node.get("type") if isinstance(node, dict) else None
    for section in candidates:
        field = section.model_fields.get(part)
        of_this_type = tag is None or len(candidates) == 1 or tag == _tag(section)
        if field is not None and of_this_type:
            return _full(field)
    return None


def _tag(section: type[Section]) -> str | None:
    field = section.model_fields.get("type")
    return get_args(field.annotation)[0] if field is not None else None


def _full(field: FieldInfo) -> Any:
    """The annotation with its metadata, which pydantic splits off."""
    annotation: Any = field.annotation
    for mark in field.metadata:
        annotation = Annotated[annotation, mark]
    return annotation


def _metadata(annotation: Any) -> list[Any]:
    return list(get_args(annotation)[1:]) if get_origin(annotation) is Annotated else []


def _alternatives(annotation: Any) -> Iterator[Any]:
    """What a union is made of, without ``Annotated``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin is Union or origin is UnionType:
        for entry in get_args(annotation):
            yield from _alternatives(entry)
    else:
        yield annotation


def _sections(annotation: Any) -> Iterator[type[Section]]:
    for entry in _alternatives(annotation):
        if isinstance(entry, type) and issubclass(entry, Section):
            yield entry


def _dict_types(annotation: Any) -> tuple[Any, Any] | None:
    for entry in _alternatives(annotation):
        if get_origin(entry) is dict:
            keys, value = get_args(entry)
            return next(_alternatives(keys)), value
    return None


def _item_type(annotation: Any) -> Any:
    for entry in _alternatives(annotation):
        if get_origin(entry) is tuple:
            return get_args(entry)[0]
    return None
