"""The doctor's check of webhooks: who is subscribed, and whether anything comes."""

from __future__ import annotations

from collections.abc import Iterable

from meta_ads_pipeline.cli.doctor_findings import Finding, passed, warned
from meta_ads_pipeline.control.accounts import active_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.webhook_events import last_accepted
from meta_ads_pipeline.control.webhook_subscriptions import attempts, missing, subscription_of
from meta_ads_pipeline.credentials.status import spoken
from meta_ads_pipeline.settings import Settings

_CHECK = "webhooks"
_SUBSCRIBE = "`meta-ads webhooks subscribe --url ADDRESS` (docs/meta-setup.md, step 4)"


def examine_webhooks(settings: Settings, database: Database | None) -> Iterable[Finding]:
    """One line: subscribed accounts and the last delivery. Not to use webhooks is no fault."""
    if database is None:
        return
    last = last_accepted(database)
    came = f"the last delivery came on {spoken(last)}" if last else "no delivery came yet"
    subscription = subscription_of(database, settings.app_id)
    if subscription is None and last is None:
        if settings.app_verify_token is None:
            yield passed(_CHECK, "not used; changes are seen when lists are read")
        else:
            yield warned(_CHECK, "META_APP_VERIFY_TOKEN is set, nothing is subscribed", _SUBSCRIBE)
        return
    if settings.app_secret is None or settings.app_verify_token is None:
        yield warned(
            _CHECK,
            f"{came}; without META_APP_SECRET and META_APP_VERIFY_TOKEN none is accepted",
            "Set both, and restart `meta-ads serve`",
        )
    elif subscription is None:
        yield passed(_CHECK, f"subscribed by hand; {came}")
    else:
        found = attempts(database, subscription.app_id)
        refused = missing(found)
        accounts = len(active_accounts(database))
        message = (
            f"{len(found) - len(refused)} of {accounts} ad accounts are subscribed, to"
            f" {subscription.callback_url}; {came}"
        )
        if refused:
            what = "Give the token ads_management, then " + _SUBSCRIBE
            yield warned(_CHECK, f"{message}. act_{refused[0]}: {found[refused[0]]}", what)
        else:
            yield passed(_CHECK, message)
