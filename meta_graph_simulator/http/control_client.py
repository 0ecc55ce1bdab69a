"""Client of the control endpoint, for tests, benchmarks and the command line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import requests


class ControlError(RuntimeError):
    """The control endpoint refused a request; the message is its reason."""


class ControlClient:
    """Calls ``/_simulator`` of a running simulator; ``ca`` is who signed its certificate."""

    def __init__(self, url: str, timeout: float = 60.0, *, ca: Path | None = None) -> None:
        self._url = f"{url.rstrip('/')}/_simulator"
        self._timeout = timeout
        self._session = requests.Session()
        self._session.verify = True if ca is None else str(ca)
        self._session.trust_env = False  # a proxy of the environment is not for loopback

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(
        self, method: str, path: str, body: Any = None, params: dict[str, Any] | None = None
    ) -> Any:
        response = self._session.request(
            method, f"{self._url}/{path}", json=body, params=params, timeout=self._timeout
        )
        document = response.json()
        if response.status_code != 200:
            raise ControlError(str(document.get("error", document)))
        return document

    def wait_until_up(self, seconds: float = 20.0) -> None:
        """Return when the server answers.

        Raises ControlError: it does not within the time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._call("GET", "clock")
                return
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise ControlError(f"no simulator answers at {self._url}") from None
                time.sleep(0.02)

    def state(self) -> dict[str, Any]:
        """Accounts, clock, faults, blocks, jobs."""
        return dict(self._call("GET", "state"))

    def stats(self) -> dict[str, Any]:
        """Counters since start or reset; ``calls`` counts as Meta does, batch members included."""
        return dict(self._call("GET", "stats"))

    def calls(self, since: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """The log of calls numbered above ``since``."""
        return list(self._call("GET", "calls", params={"since": since, "limit": limit})["calls"])

    def add_fault(
        self,
        kind: str,
        *,
        match: dict[str, Any] | None = None,
        probability: float = 1.0,
        times: int | None = None,
        times_per_path: int | None = None,
        after: int = 0,
        **params: Any,
    ) -> str:
        """Put a fault in force and return its id; further arguments are its parameters."""
        fault = {
            "kind": kind,
            "match": match or {},
            "probability": probability,
            "times": times,
            "times_per_path": times_per_path,
            "after": after,
            "params": params,
        }
        return str(self._call("POST", "faults", fault)["ids"][0])

    def faults(self) -> list[dict[str, Any]]:
        """Faults in force with their counters."""
        return list(self._call("GET", "faults")["faults"])

    def remove_fault(self, fault_id: str) -> None:
        """Lift one fault, its block included."""
        self._call("DELETE", f"faults/{fault_id}")

    def clear_faults(self) -> None:
        """Lift all faults and their blocks."""
        self._call("DELETE", "faults")

    def reset(self, *parts: str) -> None:
        """Reset parts (faults, stats, jobs, throttle, data, cache), or everything."""
        self._call("POST", "reset", {"only": list(parts)})

    def set_clock(self, now: datetime) -> None:
        """Jump to an instant (timezone-aware)."""
        self._call("POST", "clock", {"now": now.isoformat()})

    def advance_clock(self, seconds: float) -> None:
        """Move the simulated clock forward."""
        self._call("POST", "clock", {"advance_seconds": seconds})

    def set_clock_speed(self, speed: float) -> None:
        """Simulated seconds per real second; 0 freezes the clock."""
        self._call("POST", "clock", {"speed": speed})

    def now(self) -> datetime:
        """The simulated instant, UTC."""
        return datetime.fromisoformat(self._call("GET", "clock")["now"])

    def add_token(self, token: str, **members: Any) -> None:
        """Make a token known (members as ``TokenSpec``)."""
        self._call("POST", "tokens", {"action": "add", "token": token, **members})

    def expire_token(self, token: str) -> None:
        """Let a token expire now."""
        self._call("POST", "tokens", {"action": "expire", "token": token})

    def revoke_token(self, token: str, subcode: int = 460) -> None:
        """Revoke a token: 460 password changed, 458 app removed, 467 invalid."""
        self._call("POST", "tokens", {"action": "revoke", "token": token, "subcode": subcode})

    def repair_token(self, token: str) -> None:
        """Undo expiry and revocation."""
        self._call("POST", "tokens", {"action": "repair", "token": token})

    def set_throttle(self, *, tier: str | None = None, enforce: bool | None = None) -> None:
        """Change access tier and enforcement of limits."""
        body = {"tier": tier, "enforce": enforce}
        self._call("POST", "throttle", {k: v for k, v in body.items() if v is not None})

    def configure(self, **settings: Any) -> None:
        """Change settings that may change at run time (``job_seconds``, ``max_sync_rows``, ..)."""
        self._call("POST", "config", settings)

    def truth(
        self, account: str, start: date, end: date, *, by_ad: bool = False
    ) -> list[dict[str, Any]]:
        """Exact totals per day, or per ad and day; money as text in major units."""
        params = {"account": account, "start": start.isoformat(), "end": end.isoformat()}
        if by_ad:
            params["level"] = "ad"
        return list(self._call("GET", "truth", params=params)["rows"])

    def restate(
        self, account: str, dates: Sequence[date], factor: float | str, *, ad_id: str | None = None
    ) -> None:
        """Multiply the delivery of past days, of one ad or all."""
        body = {"account": account, "dates": _texts(dates), "factor": str(factor), "ad_id": ad_id}
        self._call("POST", "restate", body)

    def vanish(
        self,
        account: str,
        dates: Sequence[date],
        *,
        ad_id: str | None = None,
        hour: int | None = None,
    ) -> None:
        """Make delivery disappear: of one ad or all, in one local hour or the whole day."""
        body = {"account": account, "dates": _texts(dates), "ad_id": ad_id, "hour": hour}
        self._call("POST", "vanish", body)

    def adjust(
        self, account: str, ad_id: str, day: date, changes: dict[str, int], *, hour: int | None
    ) -> None:
        """Add amounts to one ad: metrics and on-Meta actions by the hour, others by the day."""
        body = {"account": account, "ad_id": ad_id, "date": day.isoformat()}
        self._call("POST", "adjust", body | {"changes": changes, "hour": hour})

    def plant_level_fault(
        self,
        account: str,
        level: str,
        action: str,
        *,
        ad_id: str | None = None,
        day: date | None = None,
    ) -> None:
        """Make one level disagree with the others: ``drop`` or ``repeat`` rows."""
        text = None if day is None else day.isoformat()
        body = {"account": account, "level": level, "action": action, "ad_id": ad_id, "date": text}
        self._call("POST", "level_fault", body)

    def delete_object(self, object_id: str, *, purge: bool = False) -> None:
        """Mark an object deleted; purged, it is unreachable even by id."""
        self._call("POST", "delete_object", {"id": object_id, "purge": purge})

    def change_object(self, object_id: str, **members: Any) -> list[str]:
        """Edit an object (``status="PAUSED"``); ids whose effective status is another one now."""
        body = {"id": object_id, "members": members}
        return list(self._call("POST", "change_object", body)["changed"])

    def add_ad(self, adset_id: str, name: str) -> str:
        """Make a new ad in an ad set; its id."""
        return str(self._call("POST", "add_ad", {"adset_id": adset_id, "name": name})["id"])


def _texts(dates: Sequence[date]) -> list[str]:
    return [day.isoformat() for day in dates]
