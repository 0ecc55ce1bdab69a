"""``meta-ads status``: what is done, what is not, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.gaps import find_gaps
from meta_ads_pipeline.settings import get_settings

app = options.command_app()


@app.command()
def status(as_json: options.AsJson = False) -> int:
    """Show accounts, syncs, slices that are not done, and open dead letters."""
    with running(needs_api=False) as runtime:
        found = read_status(runtime.database)
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    else:
        print_status(plain_console(), found)
    return 0


_QUERIES = {
    "accounts": """
        select a.account_id, a.name, a.currency, a.timezone, a.is_active,
            max(s.partition_date) filter (where s.status = 'done') as last_date,
            max(s.finished_at) filter (where s.status = 'done') as last_finished_at,
            count(*) filter (where s.status <> 'done') as slices_not_done
        from control.ad_accounts as a
        left join control.slices as s using (account_id)
        group by a.account_id order by a.account_id""",
    "syncs": """
        select sync_id, start_date, end_date, status, started_at, finished_at
        from control.syncs order by started_at desc limit 5""",
    "open_slices": """
        select account_id, asset, status, count(*) as slices, min(partition_date) as first_date,
            max(partition_date) as last_date, max(attempts) as attempts,
            max(next_attempt_at) as next_attempt_at, max(error_message) as reason
        from control.slices where status <> 'done'
        group by 1, 2, 3 order by 1, 2, 3""",
    "checks": """
        select account_id, check_name || ' of ' || asset as check,
            severity || ', ' || status as state, concat_ws(' to ', min(event_date),
                nullif(max(event_date), min(event_date))) as dates,
            max(times_failed) as runs, to_char(min(first_failed_at) at time zone 'UTC',
                'YYYY-MM-DD HH24:MI') as since,
            left((array_agg(message order by times_failed desc, event_date desc))[1], 200)
                as message
        from control.check_results where status <> 'passed' and severity <> 'inform'
        group by account_id, asset, check_name, severity, status
        order by status, array_position(array['block', 'warn'], severity), 1, 2""",
    "alerts": """
        select subject, severity, message, what_to_do, first_raised_at, last_raised_at
        from control.alerts where resolved_at is null
        order by array_position(array['critical', 'warning', 'info'], severity), subject""",
    "calls": """
        select coalesce(w.name || '/' || c.name, n.connection) as connection,
            sum(n.calls) as calls, sum(n.wasted) as wasted,
            (select max(b.tier) from control.call_budgets as b
            where b.app in (c.app_id, 'connection ' || w.name || '/' || c.name)) as tier
        from control.call_counts as n
        left join control.connections as c on c.connection_id::text = n.connection
        left join control.workspaces as w using (workspace_id)
        where n.minute > now() - interval '1 hour'
        group by n.connection, w.name, c.name, c.app_id order by 1""",
    "limits": """
        select account_id, use_case, round(percent::numeric, 1) as percent, read_at,
            blocked_until, block_code, times_blocked
        from control.call_budgets
        where read_at > now() - interval '1 hour' and percent >= 50 or blocked_until is not null
        order by blocked_until nulls last, percent desc""",
    "dead_letters": """
        select account_id, asset, reason, count(*) as open, max(last_seen_at) as last_seen_at
        from control.dead_letters where status = 'open'
        group by 1, 2, 3 order by 4 desc limit 20""",
}

_TITLES = {
    "accounts": "Ad accounts",
    "syncs": "Latest syncs",
    "open_slices": "Slices that are not done",
    "checks": "Checks that do not pass",
    "alerts": "Open alerts",
    "calls": "Calls in the last hour",
    "limits": "Limits on calls that are half used up, or block",
    "dead_letters": "Open dead letters",
    "gaps": "Gaps inside the history, newest first",
}
_GAPS_SHOWN = 50


def read_status(database: Database) -> dict[str, list[dict[str, Any]]]:
    """The state of accounts, syncs, open slices, gaps, alerts and dead letters, each as rows."""
    with database.connect() as connection:
        status = {name: connection.execute(sql).fetchall() for name, sql in _QUERIES.items()}
    gaps = find_gaps(database, datetime.now(UTC), with_reach=get_settings().reach)
    return {**status, "gaps": [{**asdict(gap), "days": gap.days} for gap in gaps[:_GAPS_SHOWN]]}


def print_status(console: Console, status: dict[str, list[dict[str, Any]]]) -> None:
    """Print each part as a table; an empty part is one line."""
    for name, rows in status.items():
        if not rows:
            console.print(f"{_TITLES[name]}: none")
            continue
        table = Table(*rows[0], title=_TITLES[name], title_justify="left", header_style="bold")
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        console.print(table)
