"""The configuration while its layers are put together, before it is checked."""

from dataclasses import dataclass, field
from typing import Any

from pacabench.config.problems import KeyPath
from pacabench.config.yaml_source import Mark


@dataclass(slots=True)
class Draft:
    """Plain values, and for each where it came from."""

    file: str
    """The YAML file as messages name it."""
    tree: dict[str, Any]
    marks: dict[KeyPath, Mark]
    labels: dict[KeyPath, str] = field(default_factory=dict)
    """Names the origin of values that do not come from the file."""
    textual: set[KeyPath] = field(default_factory=set)
    """Values that were text where they came from, and may stand for a number or a truth value."""

    def place(self, path: KeyPath) -> str:
        """``file:line`` of the key, or of the nearest key around it; or the variable or flag."""
        for length in range(len(path), -1, -1):
            part = path[:length]
            if part in self.labels:
                return self.labels[part]
            if part in self.marks:
                return f"{self.file}:{self.marks[part].line}"
        return self.file

    def get(self, path: KeyPath) -> Any:
        """The value at ``path``; None where there is none."""
        node: Any = self.tree
        for part in path:
            node = child(node, part)
        return node

    def replace(self, path: KeyPath, value: Any) -> None:
        """Put ``value`` where another one stands."""
        self.get(path[:-1])[path[-1]] = value

    def drop(self, path: KeyPath) -> None:
        """Take the key at ``path`` out."""
        del self.get(path[:-1])[path[-1]]

    def override(self, path: KeyPath, value: Any, label: str) -> None:
        """Set a key from a higher layer; sections on the way are made.

        A section that the file gives as something else is left, for the check to report.
        """
        node: dict[Any, Any] = self.tree
        for part in path[:-1]:
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
            if not isinstance(node, dict):
                return
        node[path[-1]] = value
        self.labels[path] = label
        if isinstance(value, str):
            self.textual.add(path)


def child(node: object, part: str | int) -> Any:
    """The value below ``node``; None where there is none."""
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None
