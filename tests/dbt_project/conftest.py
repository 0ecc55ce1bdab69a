"""One database and one parsed project serve all tests; each starts with empty tables."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from sqlalchemy.engine import make_url

from meta_ads_pipeline.control.database import Database, export_environment

from .warehouse import TABLES_AND_VIEWS, Warehouse, failures


@pytest.fixture(scope="session")
def built_warehouse(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """The warehouse, built once while empty, with the project's unit tests."""
    name = f"dbt_{uuid.uuid4().hex[:12]}"
    admin = make_url(postgres_url).set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template_database}")
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    database = Database(url)
    environment = dict(os.environ)
    export_environment(database)
    target = tmp_path_factory.mktemp("dbt")
    parsed = Warehouse(database, dbtRunner(), target).dbt("parse")
    assert parsed.success, parsed.exception
    warehouse = Warehouse(database, dbtRunner(manifest=parsed.result), target)
    result = warehouse.dbt("build")
    assert result.success, failures(result)
    warehouse.built = warehouse.relations()
    yield warehouse
    database.dispose()
    os.environ.clear()
    os.environ.update(environment)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def warehouse(built_warehouse: Warehouse) -> Warehouse:
    """The warehouse without any row, and with every view: a test may have dropped some."""
    if built_warehouse.relations() != built_warehouse.built:
        built_warehouse.build(tests=False, models=TABLES_AND_VIEWS)
    built_warehouse.empty()
    return built_warehouse
