"""The one table of checks: what each is about, and what it means when it fails.

``block`` holds the account-day out of the facts until a re-pull passes; ``warn`` leaves the facts
alone; both alert an admin when they persist. ``inform`` never turns a check red. Whether a check
is red (an error) or yellow (a warning) besides depends on what it found: some rules are broken for
certain, others only look as if they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from meta_ads_pipeline.control.check_results import Severity

PERSISTS_AFTER_LOOKS = 3
"""A discrepancy that failed on so many runs in a row ..."""

PERSISTS_AFTER = timedelta(hours=24)
"""... over at least so long is not a matter of timing any more: an admin is told."""

INSIGHTS = ("raw/insights_hourly", "raw/insights_daily", "raw/account_totals")
ENTITIES = ("raw/campaigns", "raw/adsets", "raw/ads", "raw/creatives")
FACTS = "marts/metric_facts"

_PULL_AGAIN = (
    "The slice is pulled again by itself, after a delay that grows. If it stays, compare the "
    "account-day in Ads Manager and read the examples in the check's page."
)


@dataclass(frozen=True)
class Rule:
    """A check of some assets. ``question`` is what it answers, in a sentence for a person."""

    name: str
    assets: tuple[str, ...]
    severity: Severity
    question: str
    what_to_do: str


RULES: tuple[Rule, ...] = (
    Rule(
        "schema",
        INSIGHTS,
        "block",
        "Is every landed row well-formed: ids, exact money, lists, hours that exist?",
        _PULL_AGAIN,
    ),
    Rule(
        "duplicates",
        INSIGHTS,
        "block",
        "Is there one row per ad (or account) and time, with each action type once?",
        _PULL_AGAIN,
    ),
    Rule(
        "impossible_values",
        INSIGHTS,
        "block",
        "Is nothing negative or from the future? (Clicks above impressions are a warning: Meta "
        "counts a click when it happens, which may be after the hour of the impression.)",
        _PULL_AGAIN,
    ),
    Rule(
        "row_counts",
        INSIGHTS,
        "block",
        "Does the table hold as many rows of each slice as the load wrote (pull = raw)?",
        _PULL_AGAIN + " Something else than the loader has changed the table.",
    ),
    Rule(
        "currency_and_timezone",
        INSIGHTS,
        "block",
        "Are rows in the account's own currency and timezone, also after these changed?",
        "Pull the dates again; if the account's currency or timezone changed at Meta, also those "
        "since the change: `meta-ads sync --start D --end D --account A`.",
    ),
    Rule(
        "completeness",
        (*INSIGHTS, *ENTITIES),
        "warn",  # missing insights are held back by the reconciliation, as incomplete
        "Has every ad account a done slice of every date that has begun?",
        "Act on the reason; `meta-ads status` lists the slices, and the same sync tries again.",
    ),
    Rule(
        "spend_while_stopped",
        ("raw/insights_daily",),
        "warn",
        "Did no ad spend on a day on which it, its ad set or its campaign was archived, deleted "
        "or disapproved from midnight to midnight?",
        "Look at the ad in Ads Manager: the status history there says whether it ran.",
    ),
    Rule(
        "action_types",
        ("raw/insights_daily",),
        "inform",
        "Is every action type known to the conversion seed or the list of Meta's types?",
        "If it is a conversion, add it to dbt_project/seeds/conversion_actions.csv; else to "
        "meta_ads_pipeline/quality/action_types.py.",
    ),
    Rule(
        "schema",
        ("raw/ad_accounts", *ENTITIES),
        "warn",
        "Is every entity well-formed: ids, statuses that Meta documents, dates in order?",
        "Read the examples; Meta may have introduced a new value.",
    ),
    Rule(
        "fields",
        ("raw/ad_accounts", *ENTITIES),
        "inform",
        "Does Meta return only the fields that were asked for?",
        "A new field may be worth a column: meta_ads_pipeline/meta_api/fields.py has the list.",
    ),
    Rule(
        "read_daily",
        ("raw/campaigns", "raw/adsets", "raw/ads"),
        "warn",
        "Were the account's documents read within 24 hours, and is each budget in them the one "
        "in the history? (Meta does not move updated_time when a budget is edited.)",
        "Switch the schedule refresh_entities on, or `meta-ads sync --preset today`.",
    ),
    Rule(
        "new_entities",
        ("raw/ads",),
        "warn",
        "Is every ad, ad set and campaign with rows on these dates landed as an entity, too?",
        "Pull the entities again: `meta-ads sync --start D --end D --account A`.",
    ),
    Rule(
        "reconciliation",
        ("marts/reconciliation",),
        "block",  # in SQL, by the build itself
        "Do the three pulls of every account-day (ads by hour, ads by day, account) agree?",
        _PULL_AGAIN,
    ),
    Rule(
        "hierarchy",
        (FACTS,),
        "warn",
        "Has every fact its ad, its ad set and its campaign?",
        "Pull the entities again: `meta-ads sync --start D --end D --account A`.",
    ),
    Rule(
        "levels",
        (FACTS,),
        "warn",
        "Is the total the same at every level: pull = facts, hour = day, ad = ad set = campaign = "
        "account?",
        "Build the dates again: `meta-ads sync --start D --end D --account A`.",
    ),
    Rule(
        "anomalies",
        ("marts/anomalies",),
        "warn",
        "Did nothing unusual happen on these dates?",
        "Read the sentences; each names what changed and against what.",
    ),
)


def rule_of(asset: str, name: str) -> Rule:
    """The rule of an asset's check. Raises ``LookupError`` for one that is not declared."""
    for rule in RULES:
        if rule.name == name and asset in rule.assets:
            return rule
    raise LookupError(f"no check {name} of {asset} is declared in {__name__}")
