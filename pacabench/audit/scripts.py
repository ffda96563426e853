"""Attack scripts as programs: the kit and one or more of them in one ``python3 -c``."""

from collections.abc import Mapping
from importlib import resources

_KIT = "pacabench.audit.attacks.kit"
_BOOT = """
import sys, types


def load(name, source):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
    return module


kit = load({kit_name!r}, {kit!r})
kit.serve({{name: load(name, source).attack for name, source in {sources!r}.items()}})
"""


def read_script(path: str) -> str:
    """The text of a script, by its path below ``attacks/``."""
    return _read("attacks", path)


def attack_command(scripts: Mapping[str, str]) -> list[str]:
    """What a container runs to make the attacks ``scripts`` (attack id to path), one per case."""
    sources = {name: read_script(path) for name, path in scripts.items()}
    program = _BOOT.format(kit_name=_KIT, kit=read_script("kit.py"), sources=sources)
    return ["python3", "-I", "-u", "-c", program]


def stand_command(name: str, *arguments: str) -> list[str]:
    """What a stand-in runs: ``stands/<name>.py``."""
    return ["python3", "-I", "-u", "-c", _read("stands", f"{name}.py"), *arguments]


def _read(folder: str, path: str) -> str:
    root = resources.files("pacabench.audit").joinpath(folder)
    return root.joinpath(*path.split("/")).read_text(encoding="utf-8")
