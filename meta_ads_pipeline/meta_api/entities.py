"""Read accounts, campaigns, ad sets, ads and creatives, as the API gives them.

Documents are passed on raw: ids and budgets are strings, unset fields are absent. Archived
objects are in the lists; deleted ones are not (Meta's "Manage your ad object's status" page says
the filter refuses them) and are read by id.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from meta_ads_pipeline.meta_api.batch import read_nodes
from meta_ads_pipeline.meta_api.calls import Call, CallCounter, Caller
from meta_ads_pipeline.meta_api.error_rules import Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import (
    ACCOUNT_FIELDS,
    CUSTOM_CONVERSION_FIELDS,
    DELETED,
    EDGES,
    EFFECTIVE_STATUSES,
    ENTITY_FIELDS,
    IDS_PER_FILTER,
    DroppedFields,
    Kind,
)
from meta_ads_pipeline.meta_api.paging import ListReader, PageSizes, Repair, Row

logger = logging.getLogger(__name__)

STORY_FIELD = "object_story_spec"
STORY_SUBCODES = (2446211, 1443048)
# Reading by id costs one call for each; below this many a filtered list costs no less.
FEW_IDS = 2
_CUSTOM_CONVERSION = "custom_conversion"


@dataclass
class EntityReader:
    """Reads entities with one caller; remembers what Meta refused so as not to ask again."""

    caller: Caller
    sizes: PageSizes
    dropped: DroppedFields
    page_size: int = 500
    _no_deleted: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def accounts(self, counter: CallCounter | None = None) -> list[Row]:
        """Every ad account assigned to the token's user or system user.

        What is no object in the list is left out: there is no account to name.
        """
        fields = self.dropped.keep("account", ACCOUNT_FIELDS)
        call = Call("GET", "me/adaccounts", {"fields": ",".join(fields)}, "adaccounts")
        found = self._reader("account", call.edge, None).read(call, counter)
        accounts = [row for row in found if isinstance(row, dict)]
        if len(accounts) < len(found):
            logger.warning(
                "%d items of %s are no ad accounts", len(found) - len(accounts), call.path
            )
        return accounts

    def account(self, account_id: str, counter: CallCounter | None = None) -> Row:
        """One ad account's document."""
        while True:
            fields = self.dropped.keep("account", ACCOUNT_FIELDS)
            call = Call(
                "GET",
                f"act_{account_id}",
                {"fields": ",".join(fields)},
                "account",
                account_id,
            )
            try:
                document = self.caller.call(call, counter).document
            except MetaApiError as error:
                if self.dropped.drop("account", fields, error):
                    continue
                raise
            return dict(document)

    def listing(
        self,
        account_id: str,
        kind: Kind,
        *,
        include_deleted: bool = False,
        counter: CallCounter | None = None,
    ) -> list[Row]:
        """All objects of a kind, archived ones included.

        With ``include_deleted`` deleted ones are asked for too; where Meta refuses that, the list
        comes without them, and so do later ones without asking.
        """
        call = self._list_call(account_id, kind, include_deleted)
        return self._reader(kind, call.edge, account_id).read(call, counter)

    def custom_conversions(self, account_id: str, counter: CallCounter | None = None) -> list[Row]:
        """All custom conversions of an account, archived ones included."""
        fields = self.dropped.keep(_CUSTOM_CONVERSION, CUSTOM_CONVERSION_FIELDS)
        call = Call(
            "GET",
            f"act_{account_id}/customconversions",
            {"fields": ",".join(fields)},
            "customconversions",
            account_id,
        )
        return self._reader(_CUSTOM_CONVERSION, call.edge, account_id).read(call, counter)

    def by_id(
        self,
        ids: Iterable[str],
        kind: Kind,
        *,
        account_id: str | None = None,
        counter: CallCounter | None = None,
    ) -> tuple[list[Row], dict[str, MetaApiError]]:
        """Objects by id, deleted ones included, and the error of each that cannot be read.

        Meta counts every member of a batch, so where the account is known one filtered list (one
        call for a hundred ids) goes first, and only what it leaves out is read one by one.
        """
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Row] = {}
        if account_id is not None and kind != "creative" and len(wanted) > FEW_IDS:
            for start in range(0, len(wanted), IDS_PER_FILTER):
                part = wanted[start : start + IDS_PER_FILTER]
                found.update(self._filtered(account_id, kind, part, counter))
        missing = [each for each in wanted if each not in found]
        documents, errors = self._one_by_one(missing, kind, account_id, counter)
        found.update(documents)
        return [found[each] for each in wanted if each in found], errors

    def _filtered(
        self, account_id: str, kind: Kind, ids: list[str], counter: CallCounter | None
    ) -> dict[str, Row]:
        """What an edge gives for an id filter; nothing where Meta refuses the filter."""
        with self._lock:
            if f"{kind}.id" in self._no_deleted:
                return {}
        condition = {"field": f"{kind}.id", "operator": "IN", "value": ids}
        call = self._list_call(account_id, kind, include_deleted=True)
        call = call.with_params(filtering=[condition])
        try:
            rows = self._reader(kind, call.edge, account_id).read(call, counter)
        except MetaApiError as error:
            if error.kind is not ErrorKind.INVALID:
                raise
            with self._lock:
                self._no_deleted.add(f"{kind}.id")
            return {}
        asked = set(ids)
        return {
            str(row["id"]): row
            for row in rows
            if isinstance(row, dict) and str(row.get("id")) in asked
        }

    def _one_by_one(
        self, ids: list[str], kind: Kind, account_id: str | None, counter: CallCounter | None
    ) -> tuple[dict[str, Row], dict[str, MetaApiError]]:
        found: dict[str, Row] = {}
        errors: dict[str, MetaApiError] = {}
        without_story = False
        while ids:
            fields = self.dropped.keep(kind, ENTITY_FIELDS[kind])
            if without_story:
                fields = tuple(name for name in fields if name != STORY_FIELD)
            documents, failed = read_nodes(
                self.caller,
                ids,
                fields,
                edge=kind,
                account_id=account_id,
                counter=counter,
            )
            found.update(documents)
            ids = []
            for node_id, error in failed.items():
                story = _story_error(error) and STORY_FIELD in fields
                if story:
                    without_story = True
                    self.dropped.record(f"{kind}/{node_id}", (STORY_FIELD,), error)
                if story or self.dropped.drop(kind, fields, error):
                    ids.append(node_id)
                else:
                    errors[node_id] = error
        return found, errors

    def _list_call(self, account_id: str, kind: Kind, include_deleted: bool) -> Call:
        params: dict[str, object] = {
            "fields": ",".join(self.dropped.keep(kind, ENTITY_FIELDS[kind]))
        }
        if kind in EFFECTIVE_STATUSES:
            with self._lock:
                deleted = include_deleted and kind not in self._no_deleted
            params["effective_status"] = [
                *EFFECTIVE_STATUSES[kind],
                *((DELETED,) if deleted else ()),
            ]
        return Call("GET", f"act_{account_id}/{EDGES[kind]}", params, EDGES[kind], account_id)

    def _reader(self, key: str, edge: str, account_id: str | None) -> ListReader:
        return ListReader(
            self.caller,
            self.sizes,
            f"{account_id}/{edge}",
            self.page_size,
            repair=lambda error, call: self._repair(key, error, call),
        )

    def _repair(self, key: str, error: MetaApiError, call: Call) -> Repair | None:
        """Ask without the field, or without DELETED, that Meta refused."""
        fields = tuple(str(call.params["fields"]).split(","))
        if _story_error(error) and STORY_FIELD in fields:
            # Only this page: the other creatives keep their story.
            self.dropped.record(f"{key}/act_{call.account_id}", (STORY_FIELD,), error)
            return Repair(_without(call, fields, (STORY_FIELD,)), lasting=False)
        statuses = call.params.get("effective_status")
        if (
            error.kind is ErrorKind.INVALID
            and error.action is Action.FIX_REQUEST
            and isinstance(statuses, list)
            and DELETED in statuses
            and re.search("(?i)status|deleted|filter", f"{error.message} {error.blamed}")
        ):
            with self._lock:
                self._no_deleted.add(key)
            return Repair(
                call.with_params(effective_status=[each for each in statuses if each != DELETED])
            )
        gone = self.dropped.drop(key, fields, error)
        return Repair(_without(call, fields, gone)) if gone else None


def _without(call: Call, fields: tuple[str, ...], gone: tuple[str, ...]) -> Call:
    return call.with_params(fields=",".join(name for name in fields if name not in gone))


def _story_error(error: MetaApiError) -> bool:
    return error.subcode in STORY_SUBCODES
