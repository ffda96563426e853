"""A data set in a project of its own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import Dataset, Place
from pacabench.datasets.load import load_dataset

Open = Callable[..., Dataset]


@pytest.fixture
def open_set(tmp_path: Path) -> Open:
    """Loads the data set ``set`` of the project ``tmp_path / "project"``."""
    project = tmp_path / "project"
    project.mkdir()

    def load(
        source: str, revision: str | None = None, environ: dict[str, str] | None = None, **keys: Any
    ) -> Dataset:
        config = DatasetConfig.model_validate({"name": "set", "source": source, **keys})
        known = dict(os.environ) if environ is None else environ
        return load_dataset(config, Place(project, tmp_path / "cache", known, revision=revision))

    return load
