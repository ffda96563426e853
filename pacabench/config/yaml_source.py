"""Reads YAML into plain values, and remembers on which line every key stands.

PyYAML's events are turned into values here and not by its constructors, for four reasons: lines are
kept per key; a duplicate key is found; tags (which make objects) do not exist; and nesting, aliases
and size have limits, so that no file makes the harness run out of memory or stack.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from pacabench.config.problems import KeyPath, clean
from pacabench.config.scalars import resolve_scalar

MAX_BYTES = 1024**2
MAX_DEPTH = 32
MAX_VALUES = 50_000
"""After aliases were followed: a small file can stand for billions of values otherwise."""


class YamlError(ValueError):
    """The text is no YAML that this reader takes."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value stands, and how it was written."""

    line: int
    text: str | None = None
    """An unquoted scalar as it stands in the file; None for everything else."""


@dataclass(slots=True)
class YamlSource:
    """A file's values with their marks."""

    value: Any
    marks: dict[KeyPath, Mark]
    duplicates: list[tuple[KeyPath, int, int]]
    """Keys that are said twice: path, second line, first line."""


@dataclass(frozen=True, slots=True)
class _Scalar:
    text: str
    plain: bool
    line: int


@dataclass(frozen=True, slots=True)
class _Sequence:
    line: int
    items: "list[_Node]"


@dataclass(frozen=True, slots=True)
class _Mapping:
    line: int
    entries: "list[tuple[_Scalar, _Node]]"


_Node = _Scalar | _Sequence | _Mapping


def parse_yaml(data: bytes) -> YamlSource:
    """Read the one YAML document in ``data``.

    Raises:
        YamlError: not UTF-8, not YAML, a tag, more than one document, or past a limit.
    """
    if len(data) > MAX_BYTES:
        raise YamlError(f"larger than {MAX_BYTES // 1024} KiB", None)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError("not UTF-8", line) from None
    try:
        root = _Reader(yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(f"not YAML: {clean(reason)}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError("not YAML: a control character", line) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, YamlError):
            raise
        raise YamlError(f"not YAML: {clean(str(error))}", None) from None
    builder = _Builder()
    return YamlSource(builder.value(root, ()), builder.marks, builder.duplicates)


class _Reader:
    """Events to nodes. Recursive, which ``MAX_DEPTH`` makes safe."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node:
        event = next(self._events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return _Mapping(1, [])
        root = self._node(event, 0)
        for rest in self._events:
            if isinstance(rest, yaml.DocumentStartEvent):
                raise YamlError("more than one document in the file", _line(rest))
        return root

    def _node(self, event: Any, depth: int) -> _Node:
        line = _line(event)
        if depth > MAX_DEPTH:
            raise YamlError(f"nested more than {MAX_DEPTH} levels deep", line)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                name = clean(str(event.anchor))
                raise YamlError(f"*{name} stands before the end of its &{name}", line)
            return self._anchors[event.anchor]
        if event.tag is not None:
            raise YamlError(f"tags such as {clean(str(event.tag))} are not allowed", line)
        node = self._collection(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, event: Any, depth: int) -> _Node:
        line = _line(event)
        if isinstance(event, yaml.ScalarEvent):
            _check_unicode(event.value, line)
            return _Scalar(event.value, bool(event.implicit[0]), line)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[_Node] = []
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return _Sequence(line, items)
        entries: list[tuple[_Scalar, _Node]] = []
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            if not isinstance(key, _Scalar):
                raise YamlError("a key must be a word", _line(inner))
            key = _Scalar(key.text, key.plain, _line(inner))
            entries.append((key, self._node(next(self._events), depth + 1)))
        return _Mapping(line, entries)


def _check_unicode(text: str, line: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise YamlError("the text is not valid Unicode", line) from None


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


@dataclass(slots=True)
class _Builder:
    """Nodes to values, each alias as if it were written out."""

    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    duplicates: list[tuple[KeyPath, int, int]] = field(default_factory=list)
    _visited: int = 0

    def value(self, node: _Node, path: KeyPath, line: int | None = None) -> Any:
        self._visit(node, len(path))
        text = node.text if isinstance(node, _Scalar) and node.plain else None
        self.marks[path] = Mark(line or node.line, text)
        if isinstance(node, _Scalar):
            return resolve_scalar(node.text) if node.plain else node.text
        if isinstance(node, _Sequence):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
        return self._mapping(node, path)

    def _visit(self, node: _Node, depth: int) -> None:
        self._visited += 1
        if depth > MAX_DEPTH:
            raise YamlError(f"nested more than {MAX_DEPTH} levels deep", node.line)
        if self._visited > MAX_VALUES:
            raise YamlError(f"more than {MAX_VALUES} values, aliases included", node.line)

    def _mapping(self, node: _Mapping, path: KeyPath) -> dict[str, Any]:
        first: dict[str, int] = {}
        result: dict[str, Any] = {}
        for key, child in node.entries:
            if _is_merge(key):
                continue
            if key.text in first:
                self.duplicates.append(((*path, key.text), key.line, first[key.text]))
                continue
            first[key.text] = key.line
            result[key.text] = self.value(child, (*path, key.text), key.line)
        self._merge_all(node, path, result, len(path))
        return result

    def _merge_all(self, node: _Mapping, path: KeyPath, result: dict[str, Any], depth: int) -> None:
        """``<<: *defaults``: the keys of other mappings that ``result`` does not have yet."""
        for key, child in node.entries:
            if not _is_merge(key):
                continue
            for source in child.items if isinstance(child, _Sequence) else [child]:
                self._visit(source, depth + 1)
                if not isinstance(source, _Mapping):
                    raise YamlError("`<<` takes a mapping, or a list of mappings", source.line)
                for name, value in source.entries:
                    self._visit(value, depth + 1)
                    if name.text not in result and not _is_merge(name):
                        result[name.text] = self.value(value, (*path, name.text), name.line)
                self._merge_all(source, path, result, depth + 1)


def _is_merge(key: _Scalar) -> bool:
    return key.plain and key.text == "<<"
