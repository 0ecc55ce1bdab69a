"""One database and one parsed project serve all tests; each starts with empty tables."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from meta_ads_pipeline.control.database import export_environment

from .warehouse import TABLES_AND_VIEWS, Warehouse


@pytest.fixture(scope="module", autouse=True)
def environment(built_warehouse: Warehouse) -> Iterator[None]:
    """For dbt as a process of its own: where the warehouse is."""
    before = dict(os.environ)
    export_environment(built_warehouse.database)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def warehouse(built_warehouse: Warehouse) -> Warehouse:
    """The warehouse without any row, and with every view: a test may have dropped some."""
    if built_warehouse.relations() != built_warehouse.built:
        built_warehouse.build(tests=False, models=TABLES_AND_VIEWS)
    built_warehouse.empty()
    return built_warehouse
