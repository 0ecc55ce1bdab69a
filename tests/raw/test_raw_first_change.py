"""What waits for a run's first changed row is done then, and once."""

from __future__ import annotations

from meta_ads_pipeline.raw.first_change import at_first_change, row_changed


def test_what_waits_is_done_at_the_first_change_alone() -> None:
    done: list[str] = []
    at_first_change(lambda: done.append("of a run before"))
    at_first_change(lambda: done.append("once"))
    assert done == []
    row_changed()
    row_changed()
    assert done == ["once"]
    at_first_change(lambda: done.append("of the next run"))
    row_changed()
    assert done == ["once", "of the next run"]
