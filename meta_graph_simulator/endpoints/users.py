"""What is not delivery: the user behind the token, token inspection, businesses, minor edges."""

from __future__ import annotations

from typing import Any

from meta_graph_simulator.accounts.leads import leads_of
from meta_graph_simulator.accounts.node_store import EMPTY_EDGES, Node
from meta_graph_simulator.config import TokenSpec
from meta_graph_simulator.endpoints.lists import page_of
from meta_graph_simulator.endpoints.nodes import NodeReader
from meta_graph_simulator.endpoints.state import Simulator
from meta_graph_simulator.graph import errors
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.fields import NODE_TYPES, parse_fields
from meta_graph_simulator.graph.filtering import compare, parse_filtering

_TASKS = ("ANALYZE", "ADVERTISE")
_ACCOUNT_EDGES = frozenset({"adaccounts", "assigned_ad_accounts", "owned_ad_accounts"})


class Users:
    """Answers for users, apps and businesses, and for the account's lesser edges."""

    def __init__(self, simulator: Simulator, reader: NodeReader) -> None:
        self._simulator = simulator
        self._reader = reader

    def answer(self, call: GraphCall, spec: TokenSpec) -> Answer | None:
        """The answer, or None where the path is none of these."""
        head = call.segments[0]
        edge = call.segments[1] if len(call.segments) > 1 else None
        if head == "debug_token":
            return self._debug_token(call)
        if head in {"me", spec.user_id}:
            return self._user(call, spec, edge)
        if head == self._simulator.config.app_id:
            return self._app(edge)
        return self._business(call, spec, head, edge)

    def _debug_token(self, call: GraphCall) -> Answer:
        token = call.params.get("input_token")
        if not token:
            raise errors.invalid_parameter("The parameter input_token is required")
        return Answer.json({"data": self._simulator.tokens.inspect(token)})

    def _user(self, call: GraphCall, spec: TokenSpec, edge: str | None) -> Answer:
        if edge is None:
            return Answer.json(self._user_document(call, spec))
        if edge in _ACCOUNT_EDGES:
            self._simulator.tokens.check_scopes(spec)
            return self._accounts(call, self._readable(spec))
        if edge == "permissions":
            return Answer.json(
                {"data": [{"permission": s, "status": "granted"} for s in spec.scopes]}
            )
        businesses = {str(b["id"]): b for b in map(_business_of, self._readable(spec)) if b}
        if edge == "businesses":
            return Answer.json({"data": list(businesses.values())})
        if edge == "business_users":
            return Answer.json({"data": [self._member(spec, b) for b in businesses.values()]})
        raise errors.nonexisting_field(edge, NODE_TYPES["user"])

    def _member(self, spec: TokenSpec, business: dict[str, Any]) -> dict[str, Any]:
        """The user in the role of a member of a business: an object with an id of its own."""
        member_id = f"{spec.user_id}{business['id'][-6:]}"
        return {"id": member_id, "name": self._simulator.config.user_name, "business": business}

    def _user_document(self, call: GraphCall, spec: TokenSpec) -> dict[str, Any]:
        known = {"id": spec.user_id, "name": self._simulator.config.user_name}
        specs = parse_fields(call.params.get("fields"))
        self._reader.check(call, "user", [s for s in specs if s.name != "adaccounts"], known)
        if not specs:
            return known
        document: dict[str, Any] = {s.name: known[s.name] for s in specs if s.name in known}
        for nested in (s for s in specs if s.name == "adaccounts"):
            accounts = [
                self._reader.read(call, account, nested.children or [])
                for account in self._readable(spec)
            ]
            document["adaccounts"] = {"data": accounts[: self._simulator.config.default_limit]}
        return document | {"id": spec.user_id}

    def _readable(self, spec: TokenSpec) -> list[Node]:
        store = self._simulator.nodes
        nodes = (store.account(account_id) for account_id in store.sources)
        return [
            node
            for node in nodes
            if node is not None and (spec.accounts is None or node.account_id in spec.accounts)
        ]

    def _accounts(self, call: GraphCall, accounts: list[Node]) -> Answer:
        config = self._simulator.config
        specs = parse_fields(call.params.get("fields"))
        self._reader.check(call, "account", specs, accounts[0].document if accounts else {})
        return page_of(
            call,
            config,
            accounts,
            lambda account: account.id,
            lambda account: self._reader.project(call, account, specs),
        )

    def _app(self, edge: str | None) -> Answer:
        config = self._simulator.config
        if edge is None:
            return Answer.json({"id": config.app_id, "name": config.app_name})
        raise errors.nonexisting_field(edge, "Application")

    def _business(
        self, call: GraphCall, spec: TokenSpec, head: str, edge: str | None
    ) -> Answer | None:
        members = [a for a in self._readable(spec) if (_business_of(a) or {}).get("id") == head]
        if not members:
            return None
        if edge is None:
            return Answer.json(_business_of(members[0]))
        if edge == "client_ad_accounts":
            return Answer.json({"data": []})
        if edge in _ACCOUNT_EDGES:
            return self._accounts(call, members)
        raise errors.nonexisting_field(edge, NODE_TYPES["business"])

    def other_edge(self, call: GraphCall, node: Node, edge: str, spec: TokenSpec) -> Answer:
        """Edges without objects of their own: subscriptions, custom conversions, empty ones."""
        if node.kind == "account":
            if call.method == "GET" and edge == "customconversions":
                return self._custom_conversions(call, node)
            if call.method == "GET" and edge == "assigned_users":
                business = _business_of(node)
                member = [] if business is None else [self._member(spec, business)]
                return Answer.json({"data": [m | {"tasks": list(_TASKS)} for m in member]})
            if call.method == "GET" and edge in EMPTY_EDGES:
                return Answer.json({"data": []})
        if call.method != "GET":
            raise errors.unsupported_get(node.id, call.method.lower())
        if node.kind == "ad" and edge == "leads":
            return self._leads(call, node)
        raise errors.nonexisting_field(edge, NODE_TYPES[node.kind])

    def _custom_conversions(self, call: GraphCall, node: Node) -> Answer:
        return self._documents(call, "customconversion", list(node.source.custom_conversions))

    def _leads(self, call: GraphCall, node: Node) -> Answer:
        leads = leads_of(node.source, dict(node.document))
        for condition in parse_filtering(call.params.get("filtering")):
            if condition.field == "time_created":
                leads = [
                    lead
                    for lead in leads
                    if compare(lead["created_time"], condition.operator, condition.value)
                ]
        return self._documents(call, "lead", leads)

    def _documents(self, call: GraphCall, kind: str, found: list[dict[str, Any]]) -> Answer:
        specs = parse_fields(call.params.get("fields"))
        self._reader.check(call, kind, specs, {})
        names = {"id", *(spec.name for spec in specs)}
        if kind == "lead" and not specs:
            names |= {"created_time", "field_data"}
        return page_of(
            call,
            self._simulator.config,
            found,
            lambda item: str(item["id"]),
            lambda item: {name: item[name] for name in item if name in names},
        )

    async def subscribe(self, call: GraphCall, account_id: str | None) -> Answer:
        """``/APP/subscriptions`` (``account_id`` None) and ``/act_A/subscribed_apps``."""
        webhooks = self._simulator.webhooks
        if call.method == "GET":
            listed = (
                webhooks.app_subscriptions()
                if account_id is None
                else webhooks.account_apps(account_id)
            )
            return Answer.json({"data": listed})
        if account_id is not None:
            webhooks.set_account(account_id, call.method == "POST")
        elif call.method == "POST":
            await webhooks.subscribe_app(call.params)
        else:
            webhooks.clear_app()
        return Answer.json({"success": True})


def _business_of(account: Node) -> dict[str, Any] | None:
    business = account.document.get("business")
    return dict(business) if isinstance(business, dict) else None
