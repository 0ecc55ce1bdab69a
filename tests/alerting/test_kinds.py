"""Every kind of alert stands in docs/operations.md, for `meta-ads alerts mute KIND` takes them."""

from __future__ import annotations

import re

from meta_ads_pipeline.alerting.watch import CAUSES
from meta_ads_pipeline.automation import slice_alerts
from meta_ads_pipeline.control import account_states, timezones
from meta_ads_pipeline.credentials import renewal, status, webhook_accounts
from meta_ads_pipeline.quality import action_types, discrepancies
from meta_ads_pipeline.rate_limit import alerts as budget_alerts
from meta_ads_pipeline.raw import pull_connected, refused_fields
from meta_ads_pipeline.settings import PROJECT_ROOT


def test_the_page_lists_every_kind_of_alert():
    kinds = {
        *CAUSES,
        *status.STATE_ALERTS,
        renewal.RENEWAL_FAILED,
        renewal.TOKEN_UNREADABLE,
        webhook_accounts.SUBSCRIPTION_REFUSED,
        account_states.UNREADABLE,
        pull_connected.LIST_INCOMPLETE,
        timezones.CHANGED,
        budget_alerts.ALERT_KIND,
        slice_alerts.KIND,
        discrepancies.KIND,
        action_types.KIND,
        refused_fields.KIND,
    }
    page = (PROJECT_ROOT / "docs" / "operations.md").read_text()
    table = page.split("| kind | when | severity |", 1)[1].split("\n\n", 1)[0]
    listed = {
        kind for row in table.splitlines()[2:] for kind in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert listed == kinds
