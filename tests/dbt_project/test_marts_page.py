"""docs/marts.md: a section with queries for each mart, and every query runs."""

from __future__ import annotations

import re
from pathlib import Path

from .warehouse import PROJECT, Warehouse

PAGE = PROJECT.parent / "docs" / "marts.md"


def _sections(page: Path) -> dict[str, str]:
    parts = re.split(r"^### (\w+)$", page.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_mart_has_its_section_and_every_query_runs(warehouse: Warehouse) -> None:
    relations = warehouse.rows(
        "select c.relname from pg_class as c where c.relnamespace = 'marts'::regnamespace"
        " and c.relkind in ('r', 'p', 'v') and not c.relispartition"
    )
    models = {path.stem for path in (PROJECT / "models" / "marts").rglob("*.sql")}
    sections = _sections(PAGE)
    assert set(sections) == models == {row["relname"] for row in relations}
    for name, text in sections.items():
        queries = re.findall(r"^```sql\n(.+?);\n```$", text, flags=re.DOTALL | re.MULTILINE)
        assert queries, f"{name} has no query"
        assert "**Key**" in text or "key**" in text or "**Grain**" in text, name
        for query in queries:
            assert f"marts.{name}" in query
            with warehouse.database.connect() as connection:
                connection.execute(query)
