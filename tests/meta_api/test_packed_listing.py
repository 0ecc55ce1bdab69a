"""Packed rows: whatever came is there again, in less memory."""

from __future__ import annotations

import json
import tracemalloc
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.packed_listing import PackedListing

TEXT = st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.lists(JSON, max_size=3), max_size=3))
def test_items_are_as_they_came(pages):
    packed = PackedListing()
    for page in pages:
        packed.extend(page)
    items = [item for page in pages for item in page]
    assert list(packed) == items
    assert [packed[position] for position in range(len(packed))] == items
    assert packed[1:] == items[1:]
    assert [list(item) for item in packed if isinstance(item, dict)] == [
        list(item) for item in items if isinstance(item, dict)
    ], "members in their order"


def test_what_is_done_to_an_item_leaves_the_listing_as_it_is():
    packed = PackedListing()
    packed.extend([{"actions": [{"value": Decimal(1)}]}])
    packed[0]["actions"][0]["value"] = None
    assert packed[0] == {"actions": [{"value": Decimal(1)}]}


def test_how_deep_an_item_is_does_not_matter():
    deep = []
    for _ in range(5_000):
        deep = [deep]
    packed = PackedListing()
    packed.extend([{"actions": deep}])
    assert packed[0]["actions"] == [deep[0]]


def test_alike_rows_take_less_than_half_of_what_dictionaries_take():
    page = json.dumps(
        [
            {
                "account_id": "1" * 15,
                "ad_id": f"12021{number // 24:010}",
                "date_start": "2026-11-01",
                "date_stop": "2026-11-01",
                "hour": f"{number % 24:02}:00:00 - {number % 24:02}:59:59",
                "spend": f"{number % 97}.{number % 89:02}",
                "impressions": str(number % 997),
                "actions": [{"action_type": "link_click", "value": str(number % 7)}],
            }
            for number in range(5_000)
        ]
    )

    def size(keep) -> int:
        tracemalloc.start()
        kept = keep()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == 5_000
        return taken

    def packed() -> PackedListing:
        listing = PackedListing()
        listing.extend(json.loads(page))
        return listing

    assert size(packed) < size(lambda: json.loads(page)) / 2
