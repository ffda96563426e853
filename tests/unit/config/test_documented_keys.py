"""docs/configuration.md names every key of the schema, with its default, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pacabench.config import evaluators
from pacabench.config.load import load_config
from pacabench.config.schema import BenchmarkConfig
from pacabench.config.units import parse_size

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \|", re.MULTILINE)
SECTIONS_BY_OTHER_WORDS = {
    "agents[].sandbox",
    "datasets[].evaluator.of",
    "datasets[].evaluator.judge",
    "datasets[].evaluator.of[].evaluator",
}
"""Their keys are those of `sandbox` and of `evaluator`, which the row says."""


def documented() -> dict[str, str]:
    return dict(ROW.findall(DOCUMENT.read_text()))


def models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models(part)]


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        inner = models(field.annotation)
        if not inner or key in SECTIONS_BY_OTHER_WORDS:
            yield key, field
            if evaluators.WeightedPart in inner:
                yield from keys(evaluators.WeightedPart, f"{key}[].")
            continue
        text = str(field.annotation)
        suffix = "[]" if text.startswith("tuple") else ".NAME" if text.startswith("dict") else ""
        for entry in inner:
            yield from keys(entry, f"{key}{suffix}.")


def test_every_key_is_documented() -> None:
    missing = {key for key, _ in keys(BenchmarkConfig)} - documented().keys()
    assert not missing


def test_every_documented_key_exists() -> None:
    known = {key for key, _ in keys(BenchmarkConfig)}
    above = (key.rpartition(".")[0] for key in known)
    parents = {key.removesuffix(".NAME").removesuffix("[]") for key in above}
    assert documented().keys() - known - parents == set()


def test_overrides_of_an_agent_are_all_named() -> None:
    row = next(line for line in DOCUMENT.read_text().splitlines() if "`agents[].sandbox`" in line)
    fields = models(BenchmarkConfig.model_fields["agents"].annotation)[0].model_fields
    overrides = models(fields["sandbox"].annotation)[0]
    assert {f"`{name}`" for name in overrides.model_fields} <= set(re.findall("`[^`]+`", row))


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (key, field)
        for key, field in keys(BenchmarkConfig)
        if isinstance(field.default, int | float | str | Path) and field.default != ""
        if ".evaluator." not in key
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_default_is_the_documented_one(key: str, field: Any) -> None:
    said = documented()[key].split(",")[0].strip("`")
    default = field.default
    if key.endswith((".memory", ".tmp_size", ".prepare.size")):
        assert parse_size(said) == default
    elif isinstance(default, bool):
        assert said == str(default).lower()
    elif isinstance(default, Path):
        assert Path(said) == default
    elif isinstance(default, str):
        assert said == default
    else:
        assert float(said) == default


def test_every_evaluator_is_documented() -> None:
    text = (DOCUMENT.parent / "evaluators.md").read_text()
    for model in models(evaluators.EvaluatorConfig):
        (kind,) = get_args(model.model_fields["type"].annotation)
        assert f"| `{kind}` |" in text


def test_the_example_loads(tmp_path: Path) -> None:
    example = DOCUMENT.read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "pacabench.yaml").write_text(example)
    assert load_config(tmp_path / "pacabench.yaml", environ={}).config.name == "arithmetic"
