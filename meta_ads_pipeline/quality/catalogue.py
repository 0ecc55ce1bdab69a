"""The one table of checks: what each is about, its SQL, and what it means when it fails.

The rule itself is the file ``sql/<query>.sql``: it returns one row for each account-day and rule
that is broken (see ``runner``). Structure is no check's business: landing sees to it
(``raw/schemas.py``), and the check ``schema`` counts what landing refused.

``block`` holds the account-day out of the facts until a re-pull passes; ``warn`` leaves the facts
alone; both alert an admin when they persist. ``inform`` never turns a check red. Whether a check
is red (an error) or yellow (a warning) besides depends on what it found: some rules are broken for
certain, others only look as if they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from meta_ads_pipeline.control.check_results import Severity
from meta_ads_pipeline.insights_tables import DAILY_TABLE, HOURLY_TABLE, TOTALS_TABLE

PERSISTS_AFTER_LOOKS = 3
"""A discrepancy that failed on so many runs in a row ..."""

PERSISTS_AFTER = timedelta(hours=24)
"""... over at least so long is not a matter of timing any more: an admin is told."""

HOURS = (f"raw/{HOURLY_TABLE.asset}",)
DAYS = (f"raw/{DAILY_TABLE.asset}", f"raw/{TOTALS_TABLE.asset}")
INSIGHTS = (*HOURS, *DAYS)
ENTITIES = ("raw/campaigns", "raw/adsets", "raw/ads", "raw/creatives")
FACTS = "marts/metric_facts"

_PULL_AGAIN = (
    "The slice is pulled again by itself, after a delay that grows. If it stays, compare the "
    "account-day in Ads Manager and read the examples in the check's page."
)

_POSSIBLE = (
    "Is nothing from the future? (Clicks above impressions are a warning: Meta counts a click when "
    "it happens, which may be after the hour of the impression.)"
)


@dataclass(frozen=True)
class Rule:
    """A check of some assets. ``question`` is what it answers, in a sentence for a person.

    ``looks_at`` is what has a result although nothing is wrong: the account-days that were pulled,
    those that have begun, or the ad accounts as such. ``queries`` are files in ``sql/``; none: the
    file has the check's name.
    """

    name: str
    assets: tuple[str, ...]
    severity: Severity
    question: str
    what_to_do: str
    looks_at: Literal["pulled", "begun", "accounts"]
    queries: tuple[str, ...] = ()

    @property
    def sql(self) -> tuple[str, ...]:
        """The names of the files with the rule."""
        return self.queries or (self.name,)

    @property
    def fails_the_run(self) -> bool:
        """Whether a run ends red over it: an account-day of its dates is missing or held back."""
        return self.severity == "block" or self.name == "completeness"


RULES: tuple[Rule, ...] = (
    Rule(
        "schema",
        HOURS,
        "block",
        "Is every landed row well-formed: exact money, hours that exist, no row left out?",
        _PULL_AGAIN,
        "pulled",
        ("schema", "hours"),
    ),
    Rule(
        "schema",
        DAYS,
        "block",
        "Is every landed row well-formed: exact money, no row left out?",
        _PULL_AGAIN,
        "pulled",
    ),
    Rule(
        "duplicates",
        INSIGHTS,
        "block",
        "Is there one row per ad (or account) and time, with each action type once?",
        _PULL_AGAIN,
        "pulled",
    ),
    Rule(
        "impossible_values",
        HOURS,
        "block",
        _POSSIBLE,
        _PULL_AGAIN,
        "pulled",
        ("hours_begun", "clicks"),
    ),
    Rule(
        "impossible_values",
        DAYS,
        "block",
        _POSSIBLE,
        _PULL_AGAIN,
        "pulled",
        ("days_begun", "clicks"),
    ),
    Rule(
        "row_counts",
        INSIGHTS,
        "block",
        "Does the table hold as many rows of each slice as the load wrote (pull = raw)?",
        _PULL_AGAIN + " Something else than the loader has changed the table.",
        "pulled",
    ),
    Rule(
        "currency_and_timezone",
        INSIGHTS,
        "block",
        "Are rows in the account's own currency and timezone, also after these changed?",
        "Pull the dates again; if the account's currency or timezone changed at Meta, also those "
        "since the change: `meta-ads sync --start D --end D --account A`.",
        "pulled",
    ),
    Rule(
        "completeness",
        (*INSIGHTS, *ENTITIES),
        "warn",  # missing insights are held back by the reconciliation, as incomplete
        "Has every ad account a done slice of every date that has begun?",
        "Act on the reason; `meta-ads status` lists the slices, and the same sync tries again.",
        "begun",
    ),
    Rule(
        "spend_while_stopped",
        (f"raw/{DAILY_TABLE.asset}",),
        "warn",
        "Did no ad spend on a day on which it, its ad set or its campaign was archived, deleted "
        "or disapproved from midnight to midnight?",
        "Look at the ad in Ads Manager: the status history there says whether it ran.",
        "pulled",
    ),
    Rule(
        "action_types",
        (f"raw/{DAILY_TABLE.asset}",),
        "inform",
        "Is every action type known to the conversion seed or the list of Meta's types?",
        "If it is a conversion, add it to dbt_project/seeds/conversion_actions.csv; else to "
        "meta_ads_pipeline/quality/action_types.py.",
        "pulled",
    ),
    Rule(
        "schema",
        ("raw/ad_accounts",),
        "warn",
        "Has every ad account a currency and a timezone that exist, those that syncs use?",
        "Read the accounts again: `meta-ads sync --preset today`.",
        "accounts",
        ("accounts",),
    ),
    Rule(
        "schema",
        ENTITIES,
        "warn",
        "Is every entity well-formed: statuses that Meta documents, dates in order?",
        "Read the examples; Meta may have introduced a new value.",
        "accounts",
        ("entities",),
    ),
    Rule(
        "fields",
        ("raw/ad_accounts", *ENTITIES),
        "inform",
        "Does Meta return only the fields that were requested?",
        "A new field may be worth a column: meta_ads_pipeline/meta_api/fields.py has the list.",
        "accounts",
    ),
    Rule(
        "read_daily",
        ("raw/campaigns", "raw/adsets", "raw/ads"),
        "warn",
        "Were the account's documents read within 24 hours, and is each budget in them the one "
        "in the history? (Meta does not move updated_time when a budget is edited.)",
        "Switch the schedule refresh_entities on, or `meta-ads sync --preset today`.",
        "accounts",
    ),
    Rule(
        "new_entities",
        ("raw/ads",),
        "warn",
        "Is every ad, ad set and campaign with rows on these dates landed as an entity, too?",
        "Pull the entities again: `meta-ads sync --start D --end D --account A`.",
        "begun",
    ),
    Rule(
        "reconciliation",
        ("marts/reconciliation",),
        "block",  # in SQL, by the build itself
        "Do the three pulls of every account-day (ads by hour, ads by day, account) agree?",
        _PULL_AGAIN,
        "pulled",
    ),
    Rule(
        "hierarchy",
        (FACTS,),
        "warn",
        "Has every fact its ad, its ad set and its campaign?",
        "Pull the entities again: `meta-ads sync --start D --end D --account A`.",
        "pulled",
    ),
    Rule(
        "levels",
        (FACTS,),
        "warn",
        "Is the total the same at every level: pull = facts, hour = day, ad = ad set = campaign = "
        "account?",
        "Build the dates again: `meta-ads sync --start D --end D --account A`.",
        "pulled",
    ),
    Rule(
        "anomalies",
        ("marts/anomalies",),
        "warn",
        "Did nothing unusual happen on these dates?",
        "Read the sentences; each names what changed and against what.",
        "begun",
    ),
)


def rule_of(asset: str, name: str) -> Rule:
    """The rule of an asset's check. Raises ``LookupError`` for one that is not declared."""
    for rule in RULES:
        if rule.name == name and asset in rule.assets:
            return rule
    raise LookupError(f"no check {name} of {asset} is declared in {__name__}")
