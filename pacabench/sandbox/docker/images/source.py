"""The step that puts an agent's code into its image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pacabench.errors import ImageError
from pacabench.events import Notice
from pacabench.sandbox.docker.images.resources import content_key, read_resource
from pacabench.sandbox.docker.images.source_files import scan_source
from pacabench.sandbox.docker.images.steps import Context, Inspect, Site, build_step
from pacabench.sandbox.docker.images.tree import Tree, pack
from pacabench.sandbox.docker.profile import most_inodes

_DOCKERFILE = "agent-python/Dockerfile"
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class SourceStep:
    """The agent's code at ``/opt/agent``, for every uid to read."""

    key: str
    tree: Tree
    user: str
    kind: str = "agent"

    async def build(self, base: Inspect, site: Site) -> None:
        """See :class:`~pacabench.sandbox.docker.images.steps.Step`."""
        if self.tree.left_out:
            names = ", ".join(repr(name) for name in self.tree.left_out[:_NAMES_SHOWN])
            more = " and more" if len(self.tree.left_out) > _NAMES_SHOWN else ""
            site.listener(
                Notice(
                    "warning",
                    f"{site.subject}: symlinks that lead out of its source stay out of the image: "
                    f"{names}{more}",
                )
            )
        context = Context(dockerfile=_DOCKERFILE, trees=[("agent/", self.tree)])
        await build_step(self, base, context, site)


def source_step(
    before: str, source: Path, ignore: Sequence[str], *, most_bytes: int, user: str
) -> SourceStep:
    """The step for the directory ``source`` without what ``ignore`` matches.

    Raises:
        ImageError: it does not fit into a tmpfs of ``most_bytes``, or cannot be read.
    """
    if not source.is_dir():
        raise ImageError(f"its source {source} is no directory")
    tree = scan_source(source, ignore)
    modules = [entry for entry in tree.entries if entry.path.endswith(".py")]
    # Byte code is about as large as its source, and lies in a directory of its own.
    needed = tree.size_bytes + sum(entry.size_bytes for entry in modules)
    folders = {entry.path.rpartition("/")[0] for entry in modules}
    inodes = len(tree.entries) + len(modules) + len(folders) + 1
    if inodes > most_inodes(most_bytes):
        raise ImageError(
            f"its source {source} has {inodes} files and directories (with byte code), and a work "
            f"directory of `sandbox.tmp_size` ({most_bytes / 1e6:.1f} MB) takes "
            f"{most_inodes(most_bytes)}. Name what the agent does not need in .pacabenchignore, "
            "or raise `tmp_size`"
        )
    if needed > most_bytes:
        raise ImageError(
            f"its source {source} takes {needed / 1e6:.1f} MB, which is more than "
            f"`sandbox.tmp_size` ({most_bytes / 1e6:.1f} MB). Largest: {_largest(tree)}. Name what "
            "the agent does not need in .pacabenchignore, set `source` to a directory with its "
            "code alone, or raise `tmp_size`"
        )
    digest = pack([("", tree)])
    return SourceStep(content_key(before, read_resource(_DOCKERFILE), digest, user), tree, user)


def _largest(tree: Tree) -> str:
    """The top-level entries that take most."""
    sizes: dict[str, int] = {}
    for entry in tree.entries:
        top = entry.path.split("/", maxsplit=1)[0]
        sizes[top] = sizes.get(top, 0) + entry.size_bytes
    most = sorted(sizes, key=lambda name: -sizes[name])[:_NAMES_SHOWN]
    return ", ".join(f"{name!r} {sizes[name] / 1e6:.1f} MB" for name in most)
