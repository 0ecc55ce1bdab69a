"""Imports follow the table of folders in ``docs/architecture.md``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, SIMULATOR = "meta_ads_pipeline", "meta_graph_simulator"


@dataclass(frozen=True)
class Room:
    """A row of the table: a folder or module of the package, and the rooms it may import."""

    name: str
    may_import: frozenset[str]


def rooms_of_the_table() -> dict[str, Room]:
    """The rooms by name, from the table whose header begins with "folder".

    The last cell says ``the rows above``, ``everything``, ``nothing``, or names rooms.
    """
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("| folder |") :].split("\n\n", 1)[0].splitlines()[2:]
    found: dict[str, Room] = {}
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    names = {name for row in cells for name in _named(row[0])}
    for row in cells:
        row_names, rule = _named(row[0]), row[-1]
        if "rows above" in rule:
            allowed = set(found)
        elif "everything" in rule:
            allowed = names
        else:
            allowed = set(_named(rule))
            assert allowed or "nothing" in rule, f"what may {row[0]} import? {rule!r}"
            assert allowed <= names, f"{row[0]} may import {allowed - names}, which has no row"
        for name in row_names:
            found[name] = Room(name, frozenset(allowed))
    return found


def _named(cell: str) -> list[str]:
    return [name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`([^`]+)`", cell)]


def room_of(path: Path) -> str:
    """The room in which a file lies: the folder or module below the package."""
    top, below = path.relative_to(ROOT).parts[:2]
    return SIMULATOR if top == SIMULATOR else below.removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of each import of the project's own packages, wherever it stands."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from meta_ads_pipeline import windows` names a room, `import __version__` none.
            modules = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            top, _, below = module.partition(".")
            name = SIMULATOR if top == SIMULATOR else below.partition(".")[0]
            if top in (PACKAGE, SIMULATOR) and name and not name.startswith("__"):
                yield node.lineno, name


def python_files() -> list[Path]:
    found = [*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / SIMULATOR).rglob("*.py")]
    return sorted(path for path in found if path.parent != ROOT / PACKAGE or path.stem[0] != "_")


@pytest.fixture(scope="module")
def rooms() -> dict[str, Room]:
    return rooms_of_the_table()


def test_every_folder_has_a_row_and_every_row_a_folder(rooms: dict[str, Room]) -> None:
    there = {room_of(path) for path in python_files()}
    assert sorted(there - rooms.keys()) == [], "no row in docs/architecture.md"
    assert sorted(rooms.keys() - there) == [], "a row in docs/architecture.md without a folder"


def test_no_folder_imports_against_the_table(rooms: dict[str, Room]) -> None:
    against: list[str] = []
    for path in python_files():
        room = room_of(path)
        for line, imported in imported_rooms(path):
            if imported != room and imported not in rooms[room].may_import:
                against.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert not against, "against docs/architecture.md:\n" + "\n".join(against)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import meta_ads_pipeline.control.database", ["control"]),
        ("from meta_ads_pipeline.control import database", ["control"]),
        ("from meta_ads_pipeline import windows, settings", ["windows", "settings"]),
        ("from meta_ads_pipeline import __version__", []),
        ("def f():\n    from ..control.slices import x", ["control"]),
        ("from . import load", ["raw"]),
        ("from .. import windows", ["windows"]),
        ("import meta_graph_simulator", [SIMULATOR]),
        ("import dagster.control", []),
    ],
)
def test_imports_are_found_in_every_form(
    statement: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / PACKAGE / "raw" / "example.py"
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    assert [room for _, room in imported_rooms(path)] == found
