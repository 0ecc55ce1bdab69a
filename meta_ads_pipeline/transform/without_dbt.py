"""dagster-dbt, imported as it is where dbt-core is not installed.

With dbt-core beside it, dagster-dbt imports dbt for its types, and again to evaluate a selection:
over two seconds for each process that loads the code location, none of which runs dbt in itself
(``dbt_cli.py``). Without, it takes its own types and no selection but ``fqn:*``; the two criteria
that the project selects by are evaluated here. All that is used of dagster-dbt is imported from
here (a rule of the linter), so that nothing imports it in another way first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

_IMPORTED_BY_DAGSTER_DBT = "dbt.version"
"""Where this cannot be imported, dbt-core is not installed."""


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    kept = sys.modules.get(module)
    sys.modules[module] = cast("ModuleType", None)  # makes its import fail, as documented
    try:
        yield
    finally:
        del sys.modules[module]
        if kept is not None:
            sys.modules[module] = kept


with _hidden(_IMPORTED_BY_DAGSTER_DBT):
    from dagster_dbt import (
        DagsterDbtTranslator,
        DagsterDbtTranslatorSettings,
        DbtCliInvocation,
        DbtCliResource,
        DbtProject,
        asset_utils,
        build_dbt_asset_specs,
        dbt_assets,
    )
    from dagster_dbt.asset_utils import default_description_fn

__all__ = [
    "DagsterDbtTranslator",
    "DagsterDbtTranslatorSettings",
    "DbtCliInvocation",
    "DbtCliResource",
    "DbtProject",
    "build_dbt_asset_specs",
    "dbt_assets",
    "default_description_fn",
    "selected_ids",
]


def selected_ids(
    select: str, exclude: str, selector: str, *, manifest_json: Mapping[str, Any], **_: object
) -> AbstractSet[str]:
    """The unique ids of the nodes that dbt would select, and of all tests of one of them.

    ``select``: criteria ``config.materialized:`` and ``resource_type:``, joined by spaces. Raises
    ValueError for anything else.
    """
    if exclude or selector:
        raise ValueError(f"not evaluated without dbt: exclude {exclude!r}, selector {selector!r}")
    nodes = manifest_json["nodes"]
    chosen: set[str] = set()
    for criterion in select.split():
        method, _colon, value = criterion.partition(":")
        if method == "resource_type":
            chosen |= {key for key, node in nodes.items() if node["resource_type"] == value}
        elif method == "config.materialized":
            chosen |= {
                key for key, node in nodes.items() if node["config"].get("materialized") == value
            }
        else:
            raise ValueError(f"not evaluated without dbt: the criterion {criterion!r}")
    tests = {
        key
        for key, node in nodes.items()
        if node["resource_type"] == "test" and not chosen.isdisjoint(node["depends_on"]["nodes"])
    }
    return chosen | tests


vars(asset_utils)["select_unique_ids"] = selected_ids
