"""The configuration as people and editors read it: ``pacabench show-config``."""

from typing import Any

import yaml

from pacabench.config.load import LoadedConfig
from pacabench.config.masking import hide_secrets
from pacabench.config.schema import BenchmarkConfig
from pacabench.model import JSON


def describe(loaded: LoadedConfig) -> dict[str, JSON]:
    """The merged configuration with every default, as plain values, secrets masked."""
    plain = loaded.config.model_dump(mode="json")
    hidden: dict[str, Any] = hide_secrets(plain, loaded.secrets, lambda _, masked: masked)
    return hidden


def render_yaml(description: dict[str, JSON]) -> str:
    """A description as YAML. Control characters come out escaped."""
    text: str = yaml.safe_dump(description, sort_keys=False, width=100)
    return text


def json_schema() -> dict[str, JSON]:
    """The JSON Schema of ``pacabench.yaml``, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **BenchmarkConfig.model_json_schema(mode="validation"),
        "title": "pacabench.yaml",
    }
