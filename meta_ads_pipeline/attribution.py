"""Attribution windows: which of them Meta still fills, and the choice of those to ask for.

A conversion is counted under its ad set's own setting (`default`, the `value` of every action).
Windows are further counts of the same action type: how many of them lie so many days after a click
(`7d_click`), a view (`1d_view`) or an engaged view (`1d_ev`).
"""

from __future__ import annotations

from collections.abc import Iterable

LIVE_WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
"""The windows that Meta fills (Insights, `action_attribution_windows`), as dbt's columns have them.

`7d_view` and `28d_view` are accepted but empty since 2026-01-12; `dda`, `incrementality` and
`skan_*` are other ways to count, not windows.
"""

AD_SET_SETTING = "default"
"""Asked first whenever windows are, so that `value` goes on to follow each ad set's setting."""

_WITHOUT_DATA = frozenset({"7d_view", "28d_view"})


def chosen_windows(names: Iterable[str]) -> tuple[str, ...]:
    """The windows named, each once, in the order of ``LIVE_WINDOWS``; none: none are asked for.

    ``default`` may be named, it is always asked. Raises ``ValueError`` saying what can be named.
    """
    chosen = set(names) - {AD_SET_SETTING}
    for name in sorted(chosen - set(LIVE_WINDOWS)):
        why = "has had no data since January 2026" if name in _WITHOUT_DATA else "is not known"
        raise ValueError(
            f"attribution window {name!r} {why}: choose from {', '.join(LIVE_WINDOWS)}, "
            "or leave it empty for none"
        )
    return tuple(name for name in LIVE_WINDOWS if name in chosen)
