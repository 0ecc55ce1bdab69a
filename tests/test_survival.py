"""Killed, blocked, refused and lied to: the same command ends at the simulator's truth.

The full proofs, with their figures, are ``python -m benchmarks kill storm soak``.
"""

from __future__ import annotations

import pytest

from benchmarks import kill, kill_command, soak, storm
from meta_graph_simulator.faults.table import KINDS

pytestmark = pytest.mark.slow


def test_kills_at_random_moments_lose_and_double_nothing() -> None:
    report = kill.prove(kills=6, seed=7, accounts=2, ads=8, days_a_round=12, whole_command=False)
    assert report.problems == []
    assert set(report.kills) == set(kill.VICTIMS)
    assert report.kills.total() == 6
    assert report.starts >= 3, "a killed worker was started again"
    assert report.slices == 2 * 7 * report.days
    assert report.slices_asked >= 2 * 3 * report.days, "the calls' dates are understood"


def test_the_whole_command_survives_a_kill_of_postgres_during_dbt() -> None:
    strike = (kill_command.POSTGRES, kill_command.DURING_DBT)
    report = kill_command.prove(kills=1, strikes=[strike], accounts=1, days=1)
    assert report.problems == []
    assert report.kills.total() == 1
    assert report.starts == 1, "it ends well by itself"


def test_a_storm_ends_at_the_truth() -> None:
    report = storm.prove(accounts=2, days=5, ads=8, speed=60, block_minutes=5, whole_command=False)
    assert report.problems == []
    assert report.slices == 2 * 7 * 5
    assert 2 <= report.starts <= 5, "until the token ended, then after its repair"
    assert report.faults["code 190/463"] <= 12, "none begins after one in flight was refused"
    blocked = [number for name, number in report.faults.items() if "2446079" in name]
    assert sum(blocked) <= 2 * 6, "at most one probing call a minute's hint"
    assert report.failed_calls >= 3


def test_a_soak_ends_at_the_truth() -> None:
    report = soak.prove(minutes=0, seed=1, accounts=1, ads=3, days=1, pulls_only=True)
    assert report.problems == []
    assert report.rounds == 1
    assert report.kinds


def test_the_soak_knows_every_kind_of_fault() -> None:
    assert soak.TROUBLE.keys() == KINDS.keys()
