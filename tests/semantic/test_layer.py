"""The semantic layer: dbt's file is written from it, and what it names is in the marts."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from meta_ads_pipeline.semantic.dbt_models import TARGET, text
from meta_ads_pipeline.semantic.layer import FILE, SemanticLayer, semantic_layer
from meta_ads_pipeline.settings import PROJECT_ROOT


def columns_of_marts() -> dict[str, set[str]]:
    """The columns that each mart's contract names."""
    found = {}
    for path in (PROJECT_ROOT / "dbt_project" / "models" / "marts").rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            if "columns" in model:
                found[model["name"]] = {column["name"] for column in model["columns"]}
    return found


def test_dbts_semantic_models_are_those_of_the_layer() -> None:
    assert TARGET.read_text() == text(), "run python -m meta_ads_pipeline.semantic.dbt_models"


def test_every_column_that_the_layer_names_is_in_its_mart() -> None:
    layer, columns = semantic_layer(), columns_of_marts()
    assert set(layer.sums) <= columns["metric_facts"]
    for name, dimension in layer.dimensions.items():
        through = dimension.through
        table = layer.dimensions[through].table if through else "metric_facts"
        assert dimension.column in columns[str(table)], name
        if dimension.table is not None:
            assert {dimension.key, dimension.name} <= columns[dimension.table], name
    for rollup in layer.rollups:
        own = {layer.dimensions[name].column for name in rollup.of}
        assert {*own, *layer.sums} <= columns[rollup.mart], rollup.mart
    for name, measure in layer.not_additive.items():
        assert name in columns[measure.mart]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"not_additive": {"spend": {"label": "x", "description": "x", "mart": "reach"}}}, "twice"),
        ({"sums": {}}, "none of the sums"),
        ({"rollups": [{"mart": "x", "grain": "day", "of": ["colour"]}]}, "is no dimension"),
        ({"metrics": {}}, "Extra inputs"),
    ],
)
def test_a_layer_that_names_what_is_not_there_is_refused(change, said) -> None:
    document = yaml.safe_load(FILE.read_text())
    with pytest.raises(ValidationError, match=said):
        SemanticLayer.model_validate({**document, **change})
