"""Read accounts, campaigns, ad sets, ads and creatives, as the API gives them.

Documents are passed on raw: ids and budgets are strings, unset fields are absent. Archived
objects are in the lists; deleted ones are not (Meta's "Manage your ad object's status" page says
the filter refuses them) and are read by id.

What Meta refuses is isolated: a field, a status in the filter, the filter, an object. Everything
else comes, and ``Listing.left_out`` says what did not.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meta_ads_pipeline.meta_api.batch import read_nodes
from meta_ads_pipeline.meta_api.calls import Call, CallCounter, Caller
from meta_ads_pipeline.meta_api.config import ListLimits
from meta_ads_pipeline.meta_api.error_rules import Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import (
    DELETED,
    EDGES,
    EFFECTIVE_STATUSES,
    FIELDS,
    IDS_PER_FILTER,
    KEPT_FIELDS,
    SUSPECT_FIELDS,
    DroppedFields,
    Kind,
)
from meta_ads_pipeline.meta_api.paging import (
    LeftOut,
    Listing,
    ListReader,
    PageRead,
    PageSizes,
    Repair,
    Row,
    objects_of,
    page_rows,
)
from meta_ads_pipeline.meta_api.refusals import (
    Refusal,
    fields_of,
    refused_fields,
    refused_values,
    with_fields,
)

logger = logging.getLogger(__name__)

# Reading by id costs one call for each; below this many a filtered list costs no less.
FEW_IDS = 2
ISOLATED_AT = 50
"""Objects on a page that are read one by one to find out which of them is refused."""
ALL_ALIKE = 3
"""Objects that are all refused in the same way: then it is not the objects."""
MOST_DIAGNOSES = 12
"""Objects whose refusal is looked into, of those that are read by id together."""


@dataclass(frozen=True)
class KnownRefusals:
    """Fields that Meta has refused of single objects before: their list is read without these.

    ``left_out``: by object id, what was refused. ``recall`` gives, by id, the values that these
    ``fields`` had of listed objects, for those of which nothing else has changed since.
    """

    left_out: Mapping[str, LeftOut]
    recall: Callable[[Sequence[Row], Sequence[str]], Mapping[str, Row]]

    @property
    def fields(self) -> list[str]:
        """All of them, sorted."""
        return sorted({name for each in self.left_out.values() for name in each.fields})


@dataclass
class EntityReader:
    """Reads entities with one caller; remembers what Meta refused so as not to ask again."""

    caller: Caller
    sizes: PageSizes
    dropped: DroppedFields
    page_size: int = 500
    limits: ListLimits = field(default_factory=ListLimits)
    _refused_statuses: dict[str, set[str]] = field(default_factory=dict)
    _no_id_filter: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def accounts(self, counter: CallCounter | None = None) -> Listing:
        """Every ad account assigned to the token's user or system user.

        What is no object in the list is left out: there is no account to name.
        """
        call = Call("GET", "me/adaccounts", {"fields": self._fields("account", None)}, "adaccounts")
        found = self._reader("account", call.edge, None, counter).read(call, counter)
        accounts = [row for row in found if isinstance(row, dict)]
        if len(accounts) < len(found):
            logger.warning(
                "%d items of %s are no ad accounts", len(found) - len(accounts), call.path
            )
        return Listing(accounts, found.left_out, found.ended_early)

    def account(self, account_id: str, counter: CallCounter | None = None) -> Row:
        """One ad account's document, without the fields that Meta refuses."""
        call = Call(
            "GET",
            f"act_{account_id}",
            {"fields": self._fields("account", account_id)},
            "account",
            account_id,
        )
        try:
            return dict(self.caller.call(call, counter).document)
        except MetaApiError as error:
            if not error.may_blame_a_part or error.action is Action.MARK_UNREACHABLE:
                raise
            refusal = self._refusal("account", call, error, counter)
            if refusal is None:
                raise
            self.dropped.record(_place("account", account_id, error), refusal.fields, error)
            return dict(refusal.document)

    def listing(
        self,
        account_id: str,
        kind: Kind,
        *,
        known: KnownRefusals | None = None,
        counter: CallCounter | None = None,
    ) -> Listing:
        """All objects of a kind, archived ones included.

        A field that one object is refused for costs a call for each object on its page. With
        ``known`` refusals the list goes without such fields, and only objects that are new or have
        changed are read by id.
        """
        call = self._list_call(account_id, kind)
        reader = self._reader(kind, call.edge, account_id, counter)
        if known is None:
            return reader.read(call, counter)
        kept = [name for name in fields_of(call) if name not in known.fields]
        listing = reader.read(with_fields(call, kept), counter)
        recalled = known.recall(objects_of(listing), known.fields)
        unknown = [each for row in objects_of(listing) if (each := str(row["id"])) not in recalled]
        if len(unknown) > max(ISOLATED_AT, len(listing) // 10):
            return reader.read(call, counter)  # too many to be read by id
        found, left_out = self._each(unknown, kind, account_id, counter, tuple(known.fields))
        left_out += [known.left_out[each] for each in recalled if each in known.left_out]
        values = {**found, **recalled}
        rows = [
            {**row, **values.get(str(row.get("id")), {})} if isinstance(row, dict) else row
            for row in listing
        ]
        return Listing(rows, listing.left_out + left_out, listing.ended_early)

    def custom_conversions(self, account_id: str, counter: CallCounter | None = None) -> Listing:
        """All custom conversions of an account, archived ones included."""
        call = Call(
            "GET",
            f"act_{account_id}/customconversions",
            {"fields": self._fields("custom_conversion", account_id)},
            "customconversions",
            account_id,
        )
        return self._reader("custom_conversion", call.edge, account_id, counter).read(call, counter)

    def by_id(
        self,
        ids: Iterable[str],
        kind: Kind,
        *,
        account_id: str | None = None,
        counter: CallCounter | None = None,
    ) -> tuple[Listing, dict[str, MetaApiError]]:
        """Objects by id, deleted ones included, and the error of each that cannot be read.

        Meta counts every member of a batch, so where the account is known one filtered list (one
        call for a hundred ids) goes first, and only what it leaves out is read one by one.
        """
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Row] = {}
        left_out: list[LeftOut] = []
        if account_id is not None and kind != "creative" and len(wanted) > FEW_IDS:
            for start in range(0, len(wanted), IDS_PER_FILTER):
                part = wanted[start : start + IDS_PER_FILTER]
                rows = self._filtered(account_id, kind, part, counter)
                found.update(
                    {str(row["id"]): row for row in objects_of(rows) if str(row["id"]) in part}
                )
                left_out += rows.left_out
        missing = [each for each in wanted if each not in found]
        documents, incomplete, errors = self._one_by_one(missing, kind, account_id, counter)
        found.update(documents)
        rows = Listing([found[each] for each in wanted if each in found], left_out + incomplete)
        return rows, errors

    def _filtered(
        self, account_id: str, kind: Kind, ids: list[str], counter: CallCounter | None
    ) -> Listing:
        """What an edge gives for an id filter; nothing where Meta refuses the filter."""
        with self._lock:
            if kind in self._no_id_filter:
                return Listing()
        condition = {"field": f"{kind}.id", "operator": "IN", "value": ids}
        call = self._list_call(account_id, kind, deleted=True).with_params(filtering=[condition])
        try:
            return self._reader(kind, call.edge, account_id, counter).read(call, counter)
        except MetaApiError as error:
            if not error.may_blame_a_part:
                raise
            with self._lock:
                self._no_id_filter.add(kind)
            return Listing()

    def _one_by_one(
        self, ids: Sequence[str], kind: str, account_id: str | None, counter: CallCounter | None
    ) -> tuple[dict[str, Row], list[LeftOut], dict[str, MetaApiError]]:
        """Objects read each by itself; where that is refused, without the fields at fault.

        What one object is refused for is tried with the others, too, so that many broken ones cost
        little more than one.
        """
        left_out: list[LeftOut] = []
        errors: dict[str, MetaApiError] = {}
        hopeless: Counter[object] = Counter()
        whole = tuple(self._fields(kind, account_id).split(","))
        found, failed = self._read_nodes(ids, whole, kind, account_id, counter)
        for _ in range(MOST_DIAGNOSES):
            waiting = {}
            for node_id, error in failed.items():
                # An object that does not exist does not exist with fewer fields either.
                gone = error.action is Action.MARK_UNREACHABLE and kind != "creative"
                if gone or not _blames_a_part(error) or hopeless[error.signature] >= ALL_ALIKE:
                    errors[node_id] = error
                else:
                    waiting[node_id] = error
            failed = waiting
            if not failed:
                break
            node_id, error = next(iter(failed.items()))
            call = Call("GET", node_id, {"fields": ",".join(whole)}, kind, account_id)
            refusal = self._refusal(kind, call, error, counter)
            if refusal is None:
                hopeless[error.signature] += 1
                errors[node_id] = failed.pop(node_id)
                continue
            fewer = tuple(name for name in whole if name not in refusal.fields)
            reasons = failed
            documents, failed = self._read_nodes(list(reasons), fewer, kind, account_id, counter)
            found.update(documents)
            left_out += [LeftOut(str(reasons[each]), each, refusal.fields) for each in documents]
        return found, left_out, errors | failed

    def _each(
        self,
        ids: Sequence[str],
        kind: str,
        account_id: str | None,
        counter: CallCounter | None,
        unread: tuple[str, ...] = (),
    ) -> tuple[dict[str, Row], list[LeftOut]]:
        """Objects of a list read each by itself, and what is left out of them.

        ``unread`` are the fields that one which cannot be read at all is without; none: all.
        Raises the first error that may pass.
        """
        found, left_out, errors = self._one_by_one(ids, kind, account_id, counter)
        for error in errors.values():
            if error.may_pass:
                raise error
        left_out += [LeftOut(str(error), each, unread) for each, error in errors.items()]
        return found, left_out

    def _read_nodes(
        self,
        ids: Sequence[str],
        fields: tuple[str, ...],
        kind: str,
        account_id: str | None,
        counter: CallCounter | None,
    ) -> tuple[dict[str, Row], dict[str, MetaApiError]]:
        """Read nodes; a field that Meta says it does not have goes for all of them."""
        found: dict[str, Row] = {}
        failed: dict[str, MetaApiError] = {}
        while ids:
            kept = self.dropped.keep(kind, fields)
            documents, errors = read_nodes(
                self.caller, ids, kept, edge=kind, account_id=account_id, counter=counter
            )
            found.update(documents)
            ids = [
                each
                for each, error in errors.items()
                if error.action is Action.DROP_FIELD and self.dropped.drop(kind, kept, error)
            ]
            failed |= {each: error for each, error in errors.items() if each not in ids}
        return found, failed

    def _fields(self, kind: str, account_id: str | None) -> str:
        kept = self.dropped.keep(kind, FIELDS[kind])
        if account_id is not None:
            kept = self.dropped.keep(f"{kind}/act_{account_id}", kept)
        return ",".join(kept)

    def _list_call(self, account_id: str, kind: Kind, *, deleted: bool = False) -> Call:
        params: dict[str, object] = {"fields": self._fields(kind, account_id)}
        statuses = (*EFFECTIVE_STATUSES.get(kind, ()), *((DELETED,) if deleted else ()))
        with self._lock:
            refused = self._refused_statuses.get(kind, set())
            kept = [each for each in statuses if each not in refused]
        if kind in EFFECTIVE_STATUSES and kept:
            params["effective_status"] = kept
        return Call("GET", f"act_{account_id}/{EDGES[kind]}", params, EDGES[kind], account_id)

    def _reader(
        self, kind: str, edge: str, account_id: str | None, counter: CallCounter | None
    ) -> ListReader:
        return ListReader(
            self.caller,
            self.sizes,
            f"{account_id}/{edge}",
            self.page_size,
            self.limits,
            smallest=1,
            keeps_what_came=True,
            repair=lambda error, call: self._repair(kind, error, call, counter),
        )

    def _refusal(
        self, kind: str, call: Call, error: MetaApiError, counter: CallCounter | None
    ) -> Refusal | None:
        """The fields that a call is refused for, if it is refused for fields."""
        if not _blames_a_part(error):
            return None
        return refused_fields(
            lambda tried: self.caller.call(tried, counter).document,
            call,
            error,
            keep=KEPT_FIELDS[kind],
            suspects=SUSPECT_FIELDS[kind],
        )

    def _repair(
        self, kind: str, error: MetaApiError, call: Call, counter: CallCounter | None
    ) -> Repair | PageRead | None:
        """What to do about a page that Meta refuses: without a field, a status, or an object."""
        if not _blames_a_part(error):
            return None
        fields, limit = fields_of(call), int(call.params["limit"])
        gone = error.action is Action.DROP_FIELD and self.dropped.drop(kind, fields, error)
        if gone:
            return Repair(with_fields(call, [name for name in fields if name not in gone]))
        statuses = call.params.get("effective_status")
        if isinstance(statuses, list) and error.kind is ErrorKind.INVALID:
            kept = self._statuses_without(kind, statuses, error)
            if kept is not None:
                return Repair(call.with_params(effective_status=kept or None))
        if "filtering" in call.params and error.kind is ErrorKind.INVALID:
            return None  # read by id instead
        refusal = self._refusal(kind, call, error, counter)
        if refusal is None:
            bare = error.kind is ErrorKind.INVALID and self._without_filter(kind, call, counter)
            return bare or self._by_ids(kind, call, counter)
        if error.suggests_smaller:  # already alone on its page
            return _page_without(refusal, error)
        if limit > ISOLATED_AT:
            return Repair(call, lasting=False, limit=ISOLATED_AT)
        return self._isolated(kind, call, refusal, error, counter)

    def _statuses_without(
        self, kind: str, statuses: list[str], error: MetaApiError
    ) -> list[str] | None:
        """The filter's statuses without those that Meta refuses: named ones, else ``DELETED``."""
        text = f"{error.message} {' '.join(error.blamed)}".lower()
        if not any(word in text for word in ("status", "filter")):
            return None
        refused = refused_values(error, statuses, DELETED)
        with self._lock:
            self._refused_statuses.setdefault(kind, set()).update(refused)
        return [each for each in statuses if each not in refused]

    def _without_filter(self, kind: str, call: Call, counter: CallCounter | None) -> Repair | None:
        """The list without its filter on statuses, where that is what Meta refuses unsaid."""
        statuses = call.params.get("effective_status")
        if not statuses:
            return None
        bare = call.with_params(effective_status=None)
        if not self._succeeds(bare.with_params(limit=1), counter):
            return None
        with self._lock:
            self._refused_statuses.setdefault(kind, set()).update(statuses)
        return Repair(bare)

    def _by_ids(
        self, kind: str, call: Call, counter: CallCounter | None
    ) -> Repair | PageRead | None:
        """A page that gives nothing but ids, read object by object; None where not even those."""
        limit = int(call.params["limit"])
        outline = call.with_params(fields="id")
        if not self._succeeds(outline.with_params(limit=1), counter):
            return None
        if limit > ISOLATED_AT:
            return Repair(call, lasting=False, limit=ISOLATED_AT)
        try:
            document = self.caller.call(outline, counter).document
        except MetaApiError as error:
            if not _blames_a_part(error):
                raise
            # Smaller pages come up to the object that cannot even be named.
            return Repair(call, lasting=False, limit=max(1, limit // 4))
        ids = [str(row["id"]) for row in objects_of(page_rows(document, call))]
        found, left_out = self._each(ids, kind, call.account_id, counter)
        return PageRead({**document, "data": list(found.values())}, tuple(left_out))

    def _succeeds(self, call: Call, counter: CallCounter | None) -> bool:
        try:
            self.caller.call(call, counter)
        except MetaApiError as error:
            if not _blames_a_part(error):
                raise
            return False
        return True

    def _isolated(
        self,
        kind: str,
        call: Call,
        refusal: Refusal,
        error: MetaApiError,
        counter: CallCounter | None,
    ) -> Repair | PageRead:
        """A page whose fields are refused for some of its objects, or for the account as a whole.

        Each object is asked for these fields by itself: those that have them keep them. Where all
        have them, or none has, the account's lists go without.
        """
        rows = page_rows(refusal.document, call)
        ids = [str(row["id"]) for row in objects_of(rows)]
        documents: Mapping[str, Row] = {}
        failed: Mapping[str, MetaApiError] = {}
        if ids:
            documents, failed = read_nodes(
                self.caller,
                ids,
                ("id", *refusal.fields),
                edge=kind,
                account_id=call.account_id,
                counter=counter,
            )
        if not failed or (not documents and len(failed) >= ALL_ALIKE):
            self.dropped.record(_place(kind, call.account_id, error), refusal.fields, error)
            kept = [name for name in fields_of(call) if name not in refusal.fields]
            return Repair(with_fields(call, kept))
        whole = [
            {**row, **documents.get(str(row.get("id")), {})} if isinstance(row, dict) else row
            for row in rows
        ]
        return PageRead(
            {**refusal.document, "data": whole},
            tuple(
                LeftOut(str(reason), node_id, refusal.fields) for node_id, reason in failed.items()
            ),
        )


def _blames_a_part(error: MetaApiError) -> bool:
    return error.may_blame_a_part or error.suggests_smaller


def _place(kind: str, account_id: str | None, error: MetaApiError) -> str:
    """What refused fields are remembered under: of every account where Meta has them no more."""
    if error.action is Action.DROP_FIELD or account_id is None:
        return kind
    return f"{kind}/act_{account_id}"


def _page_without(refusal: Refusal, error: MetaApiError) -> PageRead:
    """A page of one object that comes only without some of its fields."""
    rows = objects_of(refusal.document.get("data", []))
    return PageRead(
        refusal.document,
        tuple(LeftOut(str(error), str(row["id"]), refusal.fields) for row in rows),
    )
