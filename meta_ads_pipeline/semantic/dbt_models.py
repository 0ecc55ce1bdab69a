"""dbt's semantic models and metrics, written from ``layer.yaml``.

``python -m meta_ads_pipeline.semantic.dbt_models`` writes the file; a test compares it, and
``dbt parse`` validates it. Formats: dbt's pages "Semantic models" and "Creating metrics".
"""

from __future__ import annotations

from typing import Any

import yaml

from meta_ads_pipeline.semantic.layer import Dimension, SemanticLayer, semantic_layer
from meta_ads_pipeline.settings import PROJECT_ROOT

TARGET = PROJECT_ROOT / "dbt_project" / "models" / "marts" / "_semantic_models.yml"

_HEADER = "# Written by python -m meta_ads_pipeline.semantic.dbt_models from semantic/layer.yaml.\n"


def dbt_semantic_models(layer: SemanticLayer) -> dict[str, Any]:
    """The document of dbt: the facts, the dimension tables around them, and every metric."""
    models = [_facts(layer)]
    models += [
        _dimension_table(layer, name, dimension)
        for name, dimension in layer.dimensions.items()
        if dimension.table is not None
    ]
    return {"semantic_models": models, "metrics": _metrics(layer)}


def _facts(layer: SemanticLayer) -> dict[str, Any]:
    own = {name: each for name, each in layer.dimensions.items() if each.through is None}
    return {
        "name": "metric_facts",
        "description": "Delivery by the hour, conversions by the day.",
        "model": "ref('metric_facts')",
        "defaults": {"agg_time_dimension": "event_date"},
        "entities": [
            {"name": "fact", "type": "primary", "expr": "natural_key"},
            *(
                {"name": name, "type": "foreign", "expr": each.column}
                for name, each in own.items()
                if each.table is not None
            ),
        ],
        "dimensions": [
            _time("event_date", "day", "The account's own date."),
            _time("event_at", "hour", "The instant at which the row's hour or date begins."),
            *(_categorical(name, each) for name, each in own.items() if each.table is None),
        ],
        "measures": [
            {"name": name, "description": each.description, "agg": "sum", "expr": name}
            for name, each in layer.sums.items()
        ],
    }


def _dimension_table(layer: SemanticLayer, name: str, dimension: Dimension) -> dict[str, Any]:
    reached = {n: each for n, each in layer.dimensions.items() if each.through == name}
    return {
        "name": dimension.table,
        "description": f"{dimension.label}: its state now.",
        "model": f"ref('{dimension.table}')",
        "entities": [
            {"name": name, "type": "primary", "expr": dimension.key},
            *(
                {"name": n, "type": "foreign", "expr": each.column}
                for n, each in reached.items()
                if each.table is not None
            ),
        ],
        "dimensions": [
            {
                "name": f"{name}_{dimension.name}",
                "type": "categorical",
                "expr": dimension.name,
                "description": f"{dimension.label}: what people call it.",
            },
            *(_categorical(n, each) for n, each in reached.items() if each.table is None),
        ],
    }


def _metrics(layer: SemanticLayer) -> list[dict[str, Any]]:
    simple = [
        {
            "name": name,
            "label": each.label,
            "description": each.description,
            "type": "simple",
            "type_params": {"measure": name},
        }
        for name, each in layer.sums.items()
    ]
    derived = [
        {
            "name": name,
            "label": each.label,
            "description": each.description,
            "type": "derived",
            "type_params": {
                "expr": f"{each.factor} * {each.of} / nullif({each.over}, 0)::numeric",
                "metrics": [{"name": each.of}, {"name": each.over}],
            },
        }
        for name, each in layer.ratios.items()
    ]
    return simple + derived


def _time(name: str, granularity: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "time",
        "description": description,
        "type_params": {"time_granularity": granularity},
    }


def _categorical(name: str, dimension: Dimension) -> dict[str, Any]:
    return {
        "name": name,
        "type": "categorical",
        "expr": dimension.column,
        "description": dimension.description,
    }


def text() -> str:
    """The file as it should be."""
    document = dbt_semantic_models(semantic_layer())
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    TARGET.write_text(text())
