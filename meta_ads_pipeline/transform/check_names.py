"""What dbt's tests are called in Dagster: by what they say, not by how they are made."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from meta_ads_pipeline.transform.without_dbt import DbtProject

_COMMENT = re.compile(r"-- (?!depends_on:)")

_NAMED_COLUMNS = 3
"""A key of more columns is named in the description alone."""


def readable_manifest(project: DbtProject) -> dict[str, Any]:
    """The manifest of the project with readable names and descriptions of its tests.

    dagster-dbt names checks after the tests in the manifest, and selects them by their full name in
    dbt, which stays as it is.
    """
    manifest: dict[str, Any] = json.loads(project.manifest_path.read_text())
    taken: set[tuple[str, str]] = set()
    for node in manifest["nodes"].values():
        if node["resource_type"] != "test":
            continue
        if not node.get("test_metadata"):
            node["description"] = node.get("description") or leading_comment(node["raw_code"])
            continue
        said = in_words(node, manifest["nodes"])
        if said is None:
            continue
        name, description = said
        if (node["attached_node"], name) not in taken:
            taken.add((node["attached_node"], name))
            node["name"] = name
        node["description"] = node.get("description") or description
    return manifest


def leading_comment(code: str) -> str:
    """The first comment of a test that is a query of its own; empty where there is none."""
    lines = itertools.dropwhile(lambda line: not _COMMENT.match(line), code.splitlines())
    comment = itertools.takewhile(_COMMENT.match, lines)
    return " ".join(line.removeprefix("--").strip() for line in comment)


def in_words(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> tuple[str, str] | None:
    """The name and the description of a generic test; None for one that has no words here."""
    words = _WORDS.get(node["test_metadata"]["name"])
    if words is None:
        return None
    name, description = words(node, nodes)
    where = (node.get("config") or {}).get("where")
    limit = f" Of the rows where {where}." if where else ""
    if where and where.startswith("in_window("):
        limit = " Of the run's dates."
    return re.sub(r"\W+", "_", name), description + limit


def _unique(node: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[str, str]:
    column = node["column_name"]
    return f"one_row_per_{column}", f"No two rows have the same `{column}`."


def _unique_combination(node: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[str, str]:
    columns = node["test_metadata"]["kwargs"]["columns"]
    listed = ", ".join(f"`{column}`" for column in columns)
    name = "_".join(columns) if len(columns) <= _NAMED_COLUMNS else "key"
    return f"one_row_per_{name}", f"No two rows have the same {listed}."


def _not_null(node: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[str, str]:
    column = node["column_name"]
    return f"{column}_is_present", f"Every row has a `{column}`."


def _accepted_values(node: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[str, str]:
    column = node["column_name"]
    values = ", ".join(str(value) for value in node["test_metadata"]["kwargs"]["values"])
    return f"{column}_is_a_known_value", f"`{column}` is one of: {values}."


def _relationships(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> tuple[str, str]:
    column, arguments = node["column_name"], node["test_metadata"]["kwargs"]
    parents = [parent for parent in node["depends_on"]["nodes"] if parent != node["attached_node"]]
    parent = nodes[parents[0] if parents else node["attached_node"]]
    return (
        f"{column}_exists_in_{parent['alias']}",
        f"Every `{column}` is a `{arguments['field']}` of `{parent['schema']}.{parent['alias']}`.",
    )


_WORDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[str, str]]] = {
    "unique": _unique,
    "unique_combination": _unique_combination,
    "not_null": _not_null,
    "accepted_values": _accepted_values,
    "relationships": _relationships,
}
