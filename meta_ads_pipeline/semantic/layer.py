"""The semantic layer as Python reads it: ``layer.yaml``, checked."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

FILE = Path(__file__).with_name("layer.yaml")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    description: str


class Sum(_Entry):
    """A column of ``metric_facts``; null in the grains that do not know it."""

    unit: Literal["money", "count"]
    known_by: Literal["hour", "day"]


class Ratio(_Entry):
    """``factor * sum(of) / sum(over)``; null where the divisor is 0 or null."""

    unit: Literal["percent", "money", "ratio"]
    of: str
    over: str
    factor: int


class NotAdditive(_Entry):
    """A measure that no sum answers; ``mart`` has it for the periods that Meta counted."""

    mart: str


class Dimension(_Entry):
    """What facts are grouped and filtered by.

    ``column`` is of the facts, or of the table of the dimension that it is reached ``through``.
    ``table`` (with ``key`` and ``name``) is where its own properties are.
    """

    column: str
    through: str | None = None
    table: str | None = None
    key: str | None = None
    name: str | None = None


class Rollup(BaseModel):
    """A mart of sums by the dimensions ``of``, and by date or hour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mart: str
    grain: Literal["hour", "day"]
    of: tuple[str, ...]


class SemanticLayer(BaseModel):
    """All of it. A measure's name is unique over the three kinds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sums: dict[str, Sum]
    ratios: dict[str, Ratio]
    not_additive: dict[str, NotAdditive]
    dimensions: dict[str, Dimension]
    rollups: tuple[Rollup, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [*self.sums, *self.ratios, *self.not_additive]
        if len(set(names)) < len(names):
            raise ValueError("a measure is defined twice")
        for name, ratio in self.ratios.items():
            for part in (ratio.of, ratio.over):
                if part not in self.sums:
                    raise ValueError(f"{name}: {part} is none of the sums")
        for name, dimension in self.dimensions.items():
            through = dimension.through
            if through is not None and self.dimensions[through].table is None:
                raise ValueError(f"{name}: {through} has no table")
        for rollup in self.rollups:
            for name in rollup.of:
                if name not in self.dimensions:
                    raise ValueError(f"{rollup.mart}: {name} is no dimension")
        return self

    @property
    def measures(self) -> dict[str, Sum | Ratio | NotAdditive]:
        """Every measure by name."""
        return {**self.sums, **self.ratios, **self.not_additive}

    def parts(self, measure: str) -> tuple[str, ...]:
        """The sums that a measure is made of; none for one that is not additive."""
        if measure in self.sums:
            return (measure,)
        ratio = self.ratios.get(measure)
        return (ratio.of, ratio.over) if ratio is not None else ()

    def path(self, dimension: str) -> tuple[str, ...]:
        """The dimensions from the one that the facts have to this one."""
        through = self.dimensions[dimension].through
        return (*(self.path(through) if through is not None else ()), dimension)


@lru_cache(maxsize=1)
def semantic_layer() -> SemanticLayer:
    """The layer, read once."""
    return SemanticLayer.model_validate(yaml.safe_load(FILE.read_text()))
