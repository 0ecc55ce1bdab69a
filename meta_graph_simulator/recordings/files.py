"""Reading a recorded account from files: entity documents and ad-day insights.

A folder holds ``accounts``, ``campaigns``, ``adsets``, ``ads`` and, where known,
``adsets_learning``, ``ads_creative`` and ``creatives``, each as CSV or JSON, and
``*insights.jsonl`` (also ``.gz``) with one ad-day a line as ``/insights?level=ad&time_increment=1``
gives it. Totals of higher levels in the same folder are not read: they are for checking.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from meta_graph_simulator.accounts.source import Document, Entities

# Columns that an extractor adds; no part of Meta's documents.
_EXTRACTOR_COLUMNS = frozenset({"ex_account_id", "fb_graph_node", "parent_id", "business_name"})
_INTEGERS = frozenset(
    {"lifetime_imps", "bid_amount", "conversions", "last_sig_edit_ts", "account_status"}
)
_BOOLEANS = {"True": True, "False": False, "true": True, "false": False}
# Asked in this order: the first whose offsets fit all recorded datetimes.
_ZONES = (
    *("Europe/Prague", "Europe/London", "Europe/Athens", "America/New_York", "America/Chicago"),
    *("America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Tokyo", "Asia/Kolkata"),
    *("Asia/Shanghai", "Asia/Dubai", "Australia/Sydney", "Australia/Brisbane", "UTC"),
)


class RecordingError(ValueError):
    """A recorded account cannot be read; the text says which file and why."""


def read_documents(folder: Path, name: str) -> list[Document]:
    """Documents of ``name.csv`` or ``name.json``; an empty list where neither is there.

    CSV columns become fields: empty ones are absent, and ``learning_stage_info_status`` goes to the
    ``status`` of ``learning_stage_info``.
    """
    as_json, as_csv = folder / f"{name}.json", folder / f"{name}.csv"
    if as_json.exists():
        loaded = orjson.loads(as_json.read_bytes())
        documents = loaded["data"] if isinstance(loaded, dict) else loaded
        return [dict(document) for document in documents]
    if not as_csv.exists():
        return []
    with as_csv.open(encoding="utf-8-sig", newline="") as lines:
        return [_document(row) for row in csv.DictReader(lines)]


def read_insights(folder: Path) -> Iterator[tuple[str, Document]]:
    """Every recorded ad-day, with ``file:line`` for error messages."""
    paths = sorted([*folder.glob("*insights.jsonl"), *folder.glob("*insights.jsonl.gz")])
    if not paths:
        raise RecordingError(f"{folder} has no *insights.jsonl or *insights.jsonl.gz to play")
    for path in paths:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path.name}:{number}", orjson.loads(line)


def read_account(folder: Path, timezone: str | None) -> Document:
    """The one account document of a folder, its timezone inferred where it is not recorded."""
    accounts = read_documents(folder, "accounts")
    if len(accounts) != 1:
        raise RecordingError(f"{folder} must describe one account in accounts.csv or .json")
    account = accounts[0]
    number = str(account.get("account_id") or account["id"]).removeprefix("act_")
    account |= {"id": f"act_{number}", "account_id": number}
    if "business" not in account:
        account |= _business(folder)
    account.setdefault("account_status", 1)
    account["timezone_name"] = timezone or account.get("timezone_name") or infer_timezone(folder)
    return account


def infer_timezone(folder: Path) -> str:
    """An IANA timezone whose offsets fit every ``created_time`` in the folder.

    Meta writes datetimes with the account's offset, so that winter and summer ones tell apart most
    zones. Raises RecordingError where none fits: the caller must then name it.
    """
    moments = [
        datetime.fromisoformat(str(document["created_time"]))
        for name in ("campaigns", "adsets", "ads")
        for document in read_documents(folder, name)
        if "created_time" in document
    ]
    for name in _ZONES:
        zone = ZoneInfo(name)
        if moments and all(m.astimezone(zone).utcoffset() == m.utcoffset() for m in moments):
            return name
    raise RecordingError(f"the timezone of the account in {folder} is not known: name it")


def read_entities(
    folder: Path, account_id: str, named: Mapping[str, Mapping[str, Document]]
) -> Entities:
    """Entity documents, completed from what the insights say about them.

    ``named`` holds minimal documents by kind and id, made of insights rows: they fill fields that
    were not recorded (ad set names), and stand in for objects that no file describes.
    """
    learning = {doc["id"]: doc for doc in read_documents(folder, "adsets_learning")}
    creative_of = {
        doc["id"]: doc["creative_id"]
        for doc in read_documents(folder, "ads_creative")
        if "creative_id" in doc
    }
    documents: dict[str, dict[str, Document]] = {}
    for kind, name in (("campaign", "campaigns"), ("adset", "adsets"), ("ad", "ads")):
        found = {str(doc["id"]): doc for doc in read_documents(folder, name)}
        for object_id, minimal in named[kind].items():
            found[object_id] = {**minimal, **found.get(object_id, {})}
        documents[kind] = found
    for object_id, document in documents["adset"].items():
        stage = learning.get(object_id, {}).get("learning_stage_info")
        if stage:
            document["learning_stage_info"] = stage
    creatives = {str(doc["id"]): doc for doc in read_documents(folder, "creatives")}
    for object_id, document in documents["ad"].items():
        if object_id in creative_of:
            creative = str(creative_of[object_id])
            document.setdefault("creative", {"id": creative})
            creatives.setdefault(creative, {"id": creative, "account_id": account_id})
    for found in documents.values():
        for document in found.values():
            _complete(document, account_id)
    return Entities.of(
        {
            "campaign": documents["campaign"].values(),
            "adset": documents["adset"].values(),
            "ad": documents["ad"].values(),
            "creative": creatives.values(),
        }
    )


def _complete(document: Document, account_id: str) -> None:
    """Fields that every object has at Meta, from others that say the same."""
    document.setdefault("account_id", account_id)
    for name, other in (
        ("status", "configured_status"),
        ("configured_status", "status"),
        ("updated_time", "created_time"),
    ):
        if other in document:
            document.setdefault(name, document[other])


def _business(folder: Path) -> Document:
    path = folder / "accounts.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        name = next(csv.DictReader(lines), {}).get("business_name")
    return {"business": {"name": name}} if name else {}


def _document(row: Mapping[str, str]) -> Document:
    document: Document = {}
    stage: Document = {}
    for name, text in row.items():
        if name in _EXTRACTOR_COLUMNS or text == "":
            continue
        if name.startswith("learning_stage_info_"):
            inner = name.removeprefix("learning_stage_info_")
            if inner.startswith("attribution_windows"):
                stage.setdefault("attribution_windows", []).append(text)
            else:
                stage[inner] = _value(inner, text)
        else:
            document[name] = _value(name, text)
    if stage:
        document["learning_stage_info"] = stage
    return document


def _value(name: str, text: str) -> Any:
    if name in _INTEGERS:
        return int(text)
    return _BOOLEANS.get(text, text)
