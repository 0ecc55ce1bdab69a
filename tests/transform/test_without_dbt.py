"""The code location loads without dbt, and selects what dbt would select."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
from dagster_dbt import utils
from packaging.version import Version

from meta_ads_pipeline.transform.relations import TABLES, VIEWS_AND_SEEDS, dbt_manifest
from meta_ads_pipeline.transform.without_dbt import selected_ids

LOADED = """
import sys
from meta_ads_pipeline.definitions import build_defs
build_defs().resolve_job_def("sync")
print(sorted(name for name in sys.modules if name.split(".")[0] in ("dbt", "dbt_common")))
"""


def test_no_module_of_dbt_is_imported_with_the_code_location() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def of_an_analyst() -> dict[str, Any]:
    """The manifest with a snapshot, and a test that reads a view and a table."""
    manifest = copy.deepcopy(dict(dbt_manifest()))
    nodes = manifest["nodes"]
    view = next(n for n, node in nodes.items() if node["config"].get("materialized") == "view")
    table = "model.meta_ads.metric_facts"
    snapshot = copy.deepcopy(nodes[table])
    snapshot |= {"resource_type": "snapshot", "unique_id": "snapshot.meta_ads.kept"}
    snapshot["config"]["materialized"] = "snapshot"
    nodes["snapshot.meta_ads.kept"] = snapshot
    test = copy.deepcopy(next(n for n in nodes.values() if n["resource_type"] == "test"))
    test |= {"unique_id": "test.meta_ads.of_both"}
    test["depends_on"]["nodes"] = [view, table]
    nodes["test.meta_ads.of_both"] = test
    for name in ("snapshot.meta_ads.kept", "test.meta_ads.of_both"):
        manifest["parent_map"][name] = nodes[name]["depends_on"]["nodes"]
        manifest["child_map"][name] = []
        for parent in manifest["parent_map"][name]:
            manifest["child_map"][parent].append(name)
    return manifest


@pytest.mark.parametrize("select", [VIEWS_AND_SEEDS, TABLES])
def test_the_selection_is_that_of_dbt(select: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "DBT_PYTHON_VERSION", Version("1.10"))
    manifest = of_an_analyst()
    # Of unit tests the code location shows nothing.
    wanted = {
        name
        for name in utils._select_unique_ids_from_manifest(select, "", "", manifest)
        if name in manifest["nodes"]
    }
    assert wanted
    assert selected_ids(select, "", "", manifest_json=manifest) == wanted


@pytest.mark.parametrize("selection", [("tag:x", "", ""), ("", "a_model", ""), ("", "", "named")])
def test_what_only_dbt_could_select_is_refused(selection: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="without dbt"):
        selected_ids(*selection, manifest_json=dbt_manifest())
