"""What documents and docstrings name exists: links, headings, files, commands, make targets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from meta_ads_pipeline.cli.app import COMMANDS, app, load_command

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("meta_ads_pipeline", "meta_graph_simulator", "benchmarks", "tests", "dbt_project")
STARTS = ("", *(f"{name}/" for name in SOURCES), "docs/", "dbt_project/models/")
"""A file is named from the root, or from one of these folders."""

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"(?<![\w/.~<-])((?:[\w.-]+/)+[\w.-]*\.(?:py|md|sql|ya?ml|csv|toml|json|sh))\b")
FOLDER = re.compile(r"^\s*((?:[\w-]+/)+)(?=\s|$)", re.MULTILINE)
FILE_AND_NAME = re.compile(r"`([\w/]+\.py): (\w+)`")
CODE = re.compile(r"`([^`\n]+)`|^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)

NOT_OURS = re.compile(
    r"^(\.meta_ads/|\.\./|site-packages/|target/|api_samples/|real_account/|recorded_pages/"
    r"|raw_responses/|dagster/|dbt/|facebook_business/|(dbt_project/)?models/custom/)"
)
"""Folders that are made while the program runs, lie beside the checkout, or are a library's or an
analyst's."""


def documents() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for source in SOURCES:
        found += (ROOT / source).rglob("*.md")
    return sorted(path for path in found if "target" not in path.parts)


def modules() -> list[Path]:
    found = [path for source in SOURCES for path in (ROOT / source).rglob("*.py")]
    return sorted(path for path in found if "target" not in path.parts)


def exists(name: str, beside: Path) -> bool:
    """Whether a file of this name is in the repository, or beside the file that names it."""
    if NOT_OURS.match(name) or (beside.parent / name).exists():
        return True
    return any((ROOT / start / name).exists() for start in STARTS)


def anchors(path: Path) -> set[str]:
    """The headings of a document as the anchors that links use."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_what_exists(path: Path) -> None:
    text = path.read_text()
    wrong = []
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        if not linked.exists():
            wrong.append(f"link to {target}")
        elif anchor and anchor not in anchors(linked):
            wrong.append(f"link to {target}: no such heading")
    prose = LINK.sub("", text)
    wrong += [f"file {name}" for name in FILE.findall(prose) if not exists(name, path)]
    for file, name in FILE_AND_NAME.findall(text):
        if name not in defined_in(file):
            wrong.append(f"{name}, which {file} does not define")
    for code in code_of(text):
        wrong += [f"folder {name}" for name in FOLDER.findall(code) if not exists(name, path)]
        wrong += [f"make {name}" for name in made(code) if name not in make_targets()]
        wrong += [f"meta-ads {words}" for words in wrong_commands(code)]
    assert not wrong, f"{path.relative_to(ROOT)} names: " + "; ".join(wrong)


def test_docstrings_and_comments_name_files_that_exist() -> None:
    wrong = []
    for path in modules():
        for line, text in remarks(path):
            wrong += [
                f"{path.relative_to(ROOT)}:{line} names {name}"
                for name in FILE.findall(text)
                if not exists(name, path)
            ]
    assert not wrong, "\n".join(wrong)


def remarks(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring and comment; texts in the code are behaviour."""
    source = path.read_text()
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("#"):
            yield number, line
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)


@cache
def defined_in(file: str) -> set[str]:
    """Functions, classes, methods and variables of a module that a document names."""
    found: set[str] = set()
    for start in STARTS:
        path = ROOT / start / file
        if path.exists():
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                    found.add(node.name)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found.add(node.id)
    return found


def code_of(text: str) -> Iterator[str]:
    for inline, block in CODE.findall(text):
        yield inline or block


def made(code: str) -> list[str]:
    return re.findall(r"^make ([a-z]+)\b", code, re.MULTILINE)


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def wrong_commands(code: str) -> Iterator[str]:
    """``meta-ads`` commands and their long options that the command line does not know."""
    for words in re.findall(r"^(?:\$ )?meta-ads ([^#|\n]+)", code, re.MULTILINE):
        command: Any = get_command(app)
        for word in words.split():
            is_group = hasattr(command, "commands")
            if is_group and re.fullmatch(r"[a-z][a-z-]*", word):
                if word not in command.commands:
                    yield words
                    break
                command = load_command(word) if word in COMMANDS else command.commands[word]
            elif word.startswith("--") and not is_group:
                options = {name for each in command.params for name in each.opts}
                takes_more = command.context_settings.get("ignore_unknown_options", False)
                if word.split("=")[0] not in options and word != "--help" and not takes_more:
                    yield f"{words} ({word})"
