"""docs/marts/: a page with three queries for each mart, and every query runs."""

from __future__ import annotations

import re

from .warehouse import PROJECT, Warehouse

PAGES = PROJECT.parent / "docs" / "marts"


def test_every_mart_has_its_page_and_every_query_runs(warehouse: Warehouse) -> None:
    relations = warehouse.rows(
        "select c.relname from pg_class as c where c.relnamespace = 'marts'::regnamespace"
        " and c.relkind in ('r', 'p', 'v') and not c.relispartition"
    )
    models = {path.stem for path in (PROJECT / "models" / "marts").rglob("*.sql")}
    pages = {path.stem: path.read_text() for path in PAGES.glob("*.md") if path.stem != "README"}
    assert set(pages) == models == {row["relname"] for row in relations}
    index = (PAGES / "README.md").read_text()
    for name, text in pages.items():
        assert f"({name}.md)" in index
        assert "**Grain" in text, name
        assert "**Key**" in text or "key**" in text, name
        queries = re.findall(r"^```sql\n(.+?);\n```$", text, flags=re.DOTALL | re.MULTILINE)
        assert len(queries) >= 3, f"{name} has too few queries"
        for query in queries:
            assert f"marts.{name}" in query
            with warehouse.database.connect() as connection:
                connection.execute(query)
