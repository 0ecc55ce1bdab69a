"""Rows say the same with shared values as without, and hold what repeats once."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.session import parse_json
from meta_ads_pipeline.meta_api.shared_values import SharedValues

# Few texts and numbers, among them all that Python takes for equal: values repeat a lot.
_scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from([0, 1, 1.0, 1.5, "", "1", "1.0", "link_click"])
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["action_type", "value", "1d_view"]), inner, max_size=3),
    ),
    max_leaves=8,
)
_rows = st.one_of(_values, st.dictionaries(st.sampled_from(["ad_id", "spend", "actions"]), _values))


@given(pages=st.lists(st.lists(_rows, max_size=6), max_size=3))
def test_rows_say_the_same(pages: list[list[object]]) -> None:
    shared = SharedValues()
    for page in pages:
        rows = parse_json(json.dumps(page).encode())
        before = repr(rows)
        shared.put_into(rows)
        assert repr(rows) == before


def test_what_repeats_is_held_once() -> None:
    shared = SharedValues()
    page = b'[{"ad_id": "23851", "actions": [{"action_type": "link_click", "value": "3"}]}]'
    [first], [second] = parse_json(page), parse_json(page)
    for rows in [first], [second]:
        shared.put_into(rows)
    assert first["ad_id"] is second["ad_id"]
    assert first["actions"][0] is second["actions"][0]
    assert first["actions"] is not second["actions"]
