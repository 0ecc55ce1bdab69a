"""The control endpoint ``/_simulator``: faults, clock, tokens, data changes, statistics, truth.

It is no part of the Graph API, needs no token and is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from meta_graph_simulator.accounts.changes import ChangeableAccount
from meta_graph_simulator.accounts.node_store import Node
from meta_graph_simulator.accounts.source import KINDS as ENTITY_KINDS
from meta_graph_simulator.accounts.source import LevelFault
from meta_graph_simulator.accounts.totals import account_truth, days_between
from meta_graph_simulator.config import TokenSpec
from meta_graph_simulator.endpoints.state import Simulator
from meta_graph_simulator.faults.table import KINDS
from meta_graph_simulator.graph.call import Answer
from meta_graph_simulator.insights.parameters import LEVELS

Query = dict[str, str]
Handler = Callable[[str, Query, dict[str, Any]], Awaitable[Any]]
# Settings that may change while the server runs.
ADJUSTABLE = frozenset(
    {
        "job_seconds",
        "job_seconds_per_1000_rows",
        "max_sync_rows",
        "max_job_rows",
        "too_much_data_variant",
        "quoted_report_run_id",
        "hourly_hides_off_meta_actions",
        "refuse_deleted_filter",
        "default_limit",
        "max_limit",
        "latency_ms",
        "latency_jitter_ms",
        "send_usage_headers",
        "auto_upgrade_expired",
        "live_versions",
        "require_proof",
    }
)


class ControlError(Exception):
    """A control request that cannot be served; the message says what to change."""


class Control:
    """Handlers of the control endpoint."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._started = time.monotonic()
        self._handlers: dict[tuple[str, str], Handler] = {
            ("GET", "state"): self._state,
            ("GET", "stats"): self._stats,
            ("GET", "calls"): self._calls,
            ("GET", "truth"): self._truth,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._remove_faults,
            ("POST", "reset"): self._reset,
            ("POST", "restate"): self._restate,
            ("POST", "vanish"): self._vanish,
            ("POST", "adjust"): self._adjust,
            ("POST", "level_fault"): self._level_fault,
            ("POST", "delete_object"): self._delete_object,
            ("POST", "change_object"): self._change_object,
            ("POST", "add_ad"): self._add_ad,
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._set_clock,
            ("POST", "tokens"): self._tokens,
            ("POST", "throttle"): self._throttle,
            ("POST", "config"): self._configure,
        }

    async def answer(self, method: str, path: str, query: Query, body: bytes) -> Answer:
        """Serve one control request; errors come back as ``{"error": text}`` with 400 or 404."""
        name, _, rest = path.strip("/").partition("/")
        handler = self._handlers.get((method, name or "state"))
        if handler is None:
            known = sorted(f"{verb} /_simulator/{known}" for verb, known in self._handlers)
            return Answer.json({"error": f"unknown request {method} {path}", "known": known}, 404)
        try:
            document = orjson.loads(body) if body else {}
            if isinstance(document, list):
                document = {"items": document}
            return Answer.json(await handler(rest, query, document))
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return Answer.json({"error": "; ".join(problems)}, 400)
        except KeyError as error:
            return Answer.json({"error": f"missing {error.args[0]!r}"}, 400)
        except (ControlError, ValueError) as error:
            return Answer.json({"error": str(error)}, 400)

    async def _state(self, _rest: str, _query: Query, _body: dict[str, Any]) -> Any:
        simulator = self._simulator
        now = simulator.clock.time()
        return {
            "now": simulator.clock.now().isoformat(),
            "clock_speed": simulator.clock.speed,
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "accounts": [
                {
                    "id": source.account["id"],
                    "name": source.account.get("name"),
                    "currency": source.account.get("currency"),
                    "timezone_name": source.account.get("timezone_name"),
                    "today": simulator.clock.today(
                        str(source.account.get("timezone_name", "UTC"))
                    ).isoformat(),
                    "ads": len(source.objects("ad")),
                }
                for source in simulator.nodes.sources.values()
            ],
            "access_tier": simulator.throttle.tier,
            "enforce_limits": simulator.throttle.enforce,
            "blocks": [
                {
                    "code": block.code,
                    "subcode": block.subcode,
                    "account": block.account_id,
                    "seconds_left": round(block.until - now, 1),
                }
                for block in simulator.throttle.blocks
                if block.until > now
            ],
            "jobs": simulator.jobs.counts(),
            "faults": [fault.model_dump() for fault in simulator.faults.all()],
            "fault_kinds": {name: kind.description() for name, kind in KINDS.items()},
            "cached_bytes": simulator.reports.rows.size,
        }

    async def _stats(self, _rest: str, _query: Query, _body: dict[str, Any]) -> Any:
        return self._simulator.stats.document()

    async def _calls(self, _rest: str, query: Query, _body: dict[str, Any]) -> Any:
        since, limit = int(query.get("since", "0")), int(query.get("limit", "1000"))
        return {"calls": self._simulator.stats.log(since, limit)}

    def _source(self, account: str) -> ChangeableAccount:
        source = self._simulator.nodes.sources.get(account.removeprefix("act_"))
        if source is None:
            known = ", ".join(self._simulator.nodes.sources)
            raise ControlError(f"unknown account {account}; known: {known}")
        return source

    async def _truth(self, _rest: str, query: Query, _body: dict[str, Any]) -> Any:
        source = self._source(query["account"])
        start, end = date.fromisoformat(query["start"]), date.fromisoformat(query["end"])
        by_ad = query.get("level") == "ad"
        return {
            "account_id": source.account["account_id"],
            "currency": source.account["currency"],
            "timezone_name": source.account["timezone_name"],
            "rows": account_truth(source, start, end, by_ad=by_ad),
        }

    async def _list_faults(self, _rest: str, _query: Query, _body: dict[str, Any]) -> Any:
        return {"faults": [fault.model_dump() for fault in self._simulator.faults.all()]}

    async def _add_faults(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        added = [self._simulator.add_fault(raw) for raw in body.get("items", [body])]
        return {"ids": [fault.id for fault in added]}

    async def _remove_faults(self, rest: str, _query: Query, _body: dict[str, Any]) -> Any:
        throttle, faults = self._simulator.throttle, self._simulator.faults
        if rest:
            removed = faults.remove(rest)
            throttle.blocks = [block for block in throttle.blocks if block.fault_id != rest]
            if not removed:
                raise ControlError(f"no fault {rest}")
        else:
            faults.clear()
            throttle.blocks = [block for block in throttle.blocks if block.fault_id is None]
        return {"ok": True}

    async def _reset(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """Reset parts: faults, stats, jobs, throttle, data, cache. Without ``only``: all."""
        simulator = self._simulator
        parts: dict[str, Callable[[], None]] = {
            "faults": simulator.faults.clear,
            "stats": simulator.stats.clear,
            "jobs": simulator.jobs.clear,
            "throttle": simulator.throttle.clear,
            "cache": simulator.reports.clear,
            "data": self._reset_data,
        }
        chosen = body.get("only") or list(parts)
        for part in chosen:
            if part not in parts:
                raise ControlError(f"cannot reset {part!r}; known: {', '.join(parts)}")
            parts[part]()
        return {"reset": chosen}

    def _reset_data(self) -> None:
        nodes = self._simulator.nodes
        nodes.purged.clear()
        for account in nodes.sources.values():
            account.clear()
        self._simulator.reports.forget_live()

    async def _restate(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{account, dates | start, end, factor, ad_id?}``: multiply past delivery."""
        account = await self._changeable(body["account"])
        account.restate(_dates(body), str(body["factor"]), ad_id=body.get("ad_id"))
        return {"ok": True}

    async def _vanish(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{account, dates | start, end, ad_id?, hour?}``: rows disappear."""
        account = await self._changeable(body["account"])
        account.vanish(_dates(body), ad_id=body.get("ad_id"), hour=body.get("hour"))
        return {"ok": True}

    async def _adjust(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{account, ad_id, date, changes, hour?}``: add amounts to one ad."""
        account = await self._changeable(body["account"])
        day = date.fromisoformat(body["date"])
        account.adjust(body["ad_id"], day, body["changes"], hour=body.get("hour"))
        return {"ok": True}

    async def _level_fault(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{account, level, action: drop|repeat, ad_id?, date?}``: make levels disagree."""
        account = await self._changeable(body["account"])
        level, action = body["level"], body["action"]
        if level not in LEVELS or action not in {"drop", "repeat"}:
            raise ControlError(f"level must be one of {LEVELS}, action drop or repeat")
        day = date.fromisoformat(body["date"]) if body.get("date") else None
        account.plant_level_fault(LevelFault(level, action, body.get("ad_id"), day))
        return {"ok": True}

    async def _delete_object(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{id, purge?}``: status DELETED and no more delivery; purged: unreachable by id too."""
        node = self._node(str(body["id"]))
        account = await self._changeable(node.account_id)
        account.delete_object(node.id)
        self._simulator.webhooks.status_changed(node)
        if body.get("purge"):
            self._simulator.nodes.purged.add(node.id)
        return {"ok": True}

    async def _change_object(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{id, members}``: an edit, announced: of the object, and of statuses that follow."""
        simulator, node = self._simulator, self._node(str(body["id"]))
        account = await self._changeable(node.account_id)
        before = _effective_statuses(account)
        account.edit_object(node.id, body["members"])
        announced = [
            object_id
            for object_id, status in _effective_statuses(account).items()
            if status != before.get(object_id)
        ]
        for object_id in announced:
            simulator.webhooks.status_changed(self._node(object_id))
        if body["members"].get("issues_info"):
            simulator.webhooks.has_issues(self._node(node.id))
        return {"changed": announced}

    async def _add_ad(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{adset_id, name}``: a new ad, announced when it is processed, which is at once."""
        adset = self._node(str(body["adset_id"]))
        account = await self._changeable(adset.account_id)
        made = account.add_ad(adset.id, str(body["name"]))
        self._simulator.webhooks.processed(self._node(str(made["id"])))
        return {"id": made["id"]}

    def _node(self, object_id: str) -> Node:
        node = self._simulator.nodes.find(object_id)
        if node is None or node.kind not in ENTITY_KINDS:
            raise ControlError(f"no campaign, ad set, ad or creative has the id {object_id}")
        return node

    async def _changeable(self, account_id: str) -> ChangeableAccount:
        """An account that may be changed now: report runs under way have taken their snapshot."""
        account = self._source(account_id)
        await self._simulator.jobs.settle()
        self._simulator.reports.forget_live()
        return account

    async def _clock(self, _rest: str, _query: Query, _body: dict[str, Any]) -> Any:
        clock = self._simulator.clock
        return {"now": clock.now().isoformat(), "unix": clock.time(), "speed": clock.speed}

    async def _set_clock(self, rest: str, query: Query, body: dict[str, Any]) -> Any:
        clock = self._simulator.clock
        if "now" in body:
            clock.set(datetime.fromisoformat(body["now"]))
        if "advance_seconds" in body:
            clock.advance(float(body["advance_seconds"]))
        if "speed" in body:
            clock.set_speed(float(body["speed"]))
        return await self._clock(rest, query, body)

    async def _tokens(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        """``{"action": "add"|"expire"|"revoke"|"repair"|"change", "token": ..}``."""
        registry, action = self._simulator.tokens, body.pop("action", "add")
        token = str(body["token"])
        if action == "add":
            registry.add(TokenSpec.model_validate(body))
        elif action == "expire":
            registry.expire(token)
        elif action == "revoke":
            registry.change(token, revoked_subcode=int(body.get("subcode", 460)))
        elif action == "repair":
            registry.repair(token)
        elif action == "change":
            registry.change(token, **{k: v for k, v in body.items() if k != "token"})
        else:
            raise ControlError("action must be add, expire, revoke, repair or change")
        return {"data": registry.inspect(token)}

    async def _throttle(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        throttle = self._simulator.throttle
        tier = body.get("tier", throttle.tier)
        if tier not in {"development_access", "standard_access"}:
            raise ControlError("tier must be development_access or standard_access")
        throttle.tier = tier
        throttle.enforce = bool(body.get("enforce", throttle.enforce))
        return {"tier": throttle.tier, "enforce": throttle.enforce}

    async def _configure(self, _rest: str, _query: Query, body: dict[str, Any]) -> Any:
        config = self._simulator.config
        unknown = set(body) - ADJUSTABLE
        if unknown:
            raise ControlError(
                f"cannot change {', '.join(sorted(unknown))} at run time;"
                f" adjustable: {', '.join(sorted(ADJUSTABLE))}"
            )
        checked = type(config).model_validate({**config.model_dump(), **body})
        for name in body:
            setattr(config, name, getattr(checked, name))
        return {name: getattr(config, name) for name in sorted(ADJUSTABLE)}


def _dates(body: dict[str, Any]) -> list[date]:
    if "dates" in body:
        return [date.fromisoformat(text) for text in body["dates"]]
    return list(days_between(date.fromisoformat(body["start"]), date.fromisoformat(body["end"])))


def _effective_statuses(account: ChangeableAccount) -> dict[str, str]:
    return {
        str(document["id"]): str(document["effective_status"])
        for kind in ENTITY_KINDS
        for document in account.objects(kind)
        if "effective_status" in document
    }
