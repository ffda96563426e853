"""The sidecar's image has all that the proxy needs, and no more."""

import ast
from pathlib import Path

import pacabench
from pacabench.sandbox.docker.images.sidecar import LIBRARIES, PARTS

PACKAGE = Path(pacabench.__file__).parent


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_module_of_ours_that_the_proxy_imports_is_in_it() -> None:
    shipped = {part.removesuffix(".py") for part in PARTS}
    for path in [*(PACKAGE / "proxy").rglob("*.py"), PACKAGE / "model.py"]:
        for name in imported(path):
            if name.startswith("pacabench.") and not name.startswith("pacabench.__"):
                assert name.split(".")[1] in shipped, f"{path.name} imports {name}"


def test_every_library_that_the_proxy_imports_is_in_it() -> None:
    found = {"yarl", "httptools", "multidict", "orjson"}
    found |= {"brotli", "backports", "compression"}  # the last one comes with newer Pythons
    assert found >= {name.split(".")[0] for name in LIBRARIES}
    for path in (PACKAGE / "proxy").rglob("*.py"):
        foreign = {name.split(".")[0] for name in imported(path)} - set(_standard()) - {"pacabench"}
        assert foreign <= found, f"{path.name} imports {foreign - found}"


def _standard() -> frozenset[str]:
    import sys  # noqa: PLC0415

    return sys.stdlib_module_names
