"""The tree of errors: drawn as it is, and each class says how the command line ends."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import meta_ads_pipeline
from meta_ads_pipeline import errors
from meta_ads_pipeline.errors import ConfigurationError, MetaAdsError


@pytest.fixture(scope="module")
def tree() -> dict[str, tuple[int, str]]:
    """Every error of the package by name: its depth below ``MetaAdsError``, and its file."""
    for module in pkgutil.walk_packages(meta_ads_pipeline.__path__, "meta_ads_pipeline."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, tuple[int, str]] = {}

    def walk(kind: type[MetaAdsError], depth: int) -> None:
        path = kind.__module__.removeprefix("meta_ads_pipeline.").replace(".", "/") + ".py"
        found[kind.__name__] = (depth, path)
        for below in kind.__subclasses__():
            if below.__module__.startswith("meta_ads_pipeline."):
                walk(below, depth + 1)

    walk(MetaAdsError, 0)
    return found


def test_the_tree_is_drawn_as_it_is(tree: dict[str, tuple[int, str]]) -> None:
    drawn = {}
    for line in str(errors.__doc__).splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\s*(\S+\.py)?", line)
        if match:
            branches, name, path = match.groups()
            drawn[name] = (len(branches) // 4, path or "errors.py")
    assert drawn == tree


@pytest.mark.parametrize("name", ["SettingsError", "TimezoneError", "AdsManagerFileError"])
def test_wrong_use_ends_with_two(tree: dict[str, tuple[int, str]], name: str) -> None:
    path = tree[name][1].removesuffix(".py").replace("/", ".")
    kind = getattr(importlib.import_module(f"meta_ads_pipeline.{path}"), name)
    assert issubclass(kind, ConfigurationError)
    assert kind.exit_code == 2
    assert MetaAdsError.exit_code == 1
