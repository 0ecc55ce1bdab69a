"""Attribution windows: what part of each fact falls into a window.

Split ad by ad and day by day, before anything is summed, so that window values add up like the
values themselves. On-Meta actions follow the click at once: all their click windows are equal.
"""

from __future__ import annotations

import numpy as np

from meta_graph_simulator.accounts.hashing import U64, Floats, key, mix, unit
from meta_graph_simulator.accounts.source import Document, Ints
from meta_graph_simulator.insights.validation import LIVE_WINDOWS

_EVENTS = {"VIEW_THROUGH": "view", "CLICK_THROUGH": "click", "ENGAGED_VIDEO_VIEW": "ev"}
_CLICKS = ("1d_click", "7d_click", "28d_click", "default", "dda")
_VIEWED = 0.16
_SAME_DAY = 0.68
_LATE = 0.07
_CAUSED = 0.55


def attribution_setting(adset: Document) -> str | None:
    """An ad set's setting as insights name it (``1d_view_7d_click``); None if it is not known."""
    windows = {
        item["event_type"]: item["window_days"] for item in adset.get("attribution_spec", ())
    }
    parts = [f"{windows[event]}d_{name}" for event, name in _EVENTS.items() if event in windows]
    return "_".join(parts) or None


def hour_window(window: str, values: Ints) -> Ints:
    """The part of on-Meta actions in a window."""
    return values if window in _CLICKS else np.zeros_like(values)


class DayWindows:
    """Windows of the off-Meta facts of one day. Rows are ads."""

    def __init__(self, ad_ids: tuple[str, ...], ordinal: int, settings: list[str | None]) -> None:
        keys = np.array([key("window", ad_id) for ad_id in ad_ids], dtype=np.uint64)
        self._keys: U64 = mix(keys, ordinal)
        viewed = [_VIEWED if setting and "view" in setting else 0.0 for setting in settings]
        engaged = [0.04 if setting and "ev" in setting.split("_") else 0.0 for setting in settings]
        self._viewed: Floats = np.array(viewed)[:, None]
        self._engaged: Floats = np.array(engaged)[:, None]

    def counts(self, window: str, values: Ints) -> Ints:
        """The part of day counts (ads x types) in a window; 0 where a window has no data.

        ``value`` is what the ad set's setting attributes: clicks, views and engaged views. A 28-day
        click window sees a little more than the setting.
        """
        viewed = self._part(values, self._viewed, 1)
        engaged = self._part(values - viewed, self._engaged, 2)
        clicked = values - viewed - engaged
        if window == "default":
            return values
        if window == "1d_view":
            return viewed
        if window == "1d_ev":
            return engaged
        if window == "7d_click":
            return clicked
        if window == "1d_click":
            return self._part(clicked, np.float64(_SAME_DAY), 3)
        if window == "28d_click":
            return clicked + self._part(clicked, np.float64(_LATE), 4)
        if window in {"dda", "incrementality"}:
            return self._part(values, np.float64(_CAUSED), 5)
        return np.zeros_like(values)

    def _part(self, values: Ints, share: Floats | np.float64, counter: int) -> Ints:
        # The same draw for every action type: overlapping types agree in every window.
        chance = unit(mix(self._keys, counter))[:, None]
        return np.floor(values * share + chance * (values > 0)).astype(np.int64).clip(0, values)


def live(windows: tuple[str, ...]) -> tuple[str, ...]:
    """The windows that have data, without repetition, in the order asked."""
    return tuple(dict.fromkeys(window for window in windows if window in LIVE_WINDOWS))
