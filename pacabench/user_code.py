"""Functions of the user's own, as the YAML names them: ``module:function``. Trusted code."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pacabench.errors import ConfigError

_SHOWN = 500


def load_function(reference: str, project: Path) -> Callable[..., Any]:
    """The function ``module:name``: of a file in ``project``, or else of an installed module.

    Raises:
        ConfigError: there is none.
    """
    module_name, _, name = reference.partition(":")
    try:
        found: Any = _module(module_name, project)
    except Exception as error:  # a user's module may raise anything
        text = f"{type(error).__name__}: {error}"[:_SHOWN]
        raise ConfigError(f"{reference}: the module cannot be imported: {text}") from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ConfigError(f"{reference}: the module {module_name} has no function {name}")
    function: Callable[..., Any] = found
    return function


def module_file(module: str, project: Path) -> Path | None:
    """The file in ``project`` that ``module`` is; None where it is installed."""
    path = project.joinpath(*module.split("."))
    return next(
        (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None
    )


def _module(name: str, project: Path) -> ModuleType:
    file = module_file(name, project)
    if file is None:
        return importlib.import_module(name)
    # By a name of its own: two projects may have a `scoring.py`, and so may the standard library.
    private = f"_pacabench_user_{abs(hash(file))}_{name.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(private, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    if str(project) not in sys.path:
        sys.path.append(str(project))  # last: for what it imports beside it
    spec.loader.exec_module(module)
    return module
