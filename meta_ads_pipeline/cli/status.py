"""``meta-ads status``: what needs a person, what is at work, what is not done and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.cli.status_causes import Cause, causes_of
from meta_ads_pipeline.control.account_states import known_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.gaps import find_gaps
from meta_ads_pipeline.credentials.brief_budget import budget_rules
from meta_ads_pipeline.rate_limit.waits import current_waits
from meta_ads_pipeline.settings import get_settings

app = options.command_app()

Rows = list[dict[str, Any]]


@app.command()
def status(as_json: options.AsJson = False) -> int:
    """Show what needs a person, what is at work, what is not done and why.

    Exit code 1 when something needs a person.
    """
    with running(needs_api=False) as runtime:
        found = read_status(runtime.database)
    causes = causes_of(found)
    if as_json:
        document = {"needs_a_person": [asdict(cause) for cause in causes], **found}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        print_status(plain_console(), found, causes)
    return 1 if causes else 0


_QUERIES = {
    "connections": """
        select w.name || '/' || c.name as connection, c.status, c.status_reason as reason,
            c.token_ciphertext is null as from_environment,
            coalesce(array_agg(a.account_id) filter (where a.is_active), '{}') as account_ids
        from control.connections as c
        inner join control.workspaces as w using (workspace_id)
        left join control.ad_accounts as a using (connection_id)
        group by c.connection_id, w.name order by 1""",
    "accounts": """
        select a.account_id, a.name, a.currency, a.timezone, a.is_active,
            max(s.partition_date) filter (where s.status = 'done') as last_date,
            max(s.finished_at) filter (where s.status = 'done') as last_finished_at,
            count(*) filter (where s.status <> 'done') as slices_not_done
        from control.ad_accounts as a
        left join control.slices as s using (account_id)
        group by a.account_id order by a.account_id""",
    "syncs": """
        select sync_id, case when scope like 'gaps %' then 'gaps' else 'sync' end as what,
            start_date, end_date, status, nullif(started_at, 'epoch') as started_at, finished_at
        from control.syncs order by coalesce(finished_at, now()) desc limit 5""",
    "open_slices": """
        select s.account_id, s.asset, s.status, s.error_kind, count(*) as slices,
            min(s.partition_date) as first_date, max(s.partition_date) as last_date,
            max(s.attempts) as attempts, max(s.next_attempt_at) as next_attempt_at,
            max(s.error_message) as reason
        from control.slices as s
        left join control.ad_accounts as a using (account_id)
        where s.status <> 'done' and a.is_active
        group by 1, 2, 3, 4 order by 1, 2, 3, 4""",
    "account_days": """
        select account_id, state, count(*) as days, string_agg(to_char(event_date, 'YYYY-MM-DD'),
                ', ' order by event_date) as dates, left(max(held_because), 200) as reason
        from control.account_days
        where is_active and (is_held or state in ('missing', 'incomplete', 'unsettled'))
        group by account_id, state order by account_id, state""",
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
        select kind, subject, severity, message, what_to_do, first_raised_at, last_raised_at
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

_RUNS = """
    select r.run_id, r.pipeline_name as job, r.status,
        coalesce(max(t.value) filter (where t.key = 'dagster/schedule_name'),
            max(t.value) filter (where t.key = 'dagster/sensor_name'),
            case when bool_or(t.key = 'dagster/backfill') then 'backfill'
                when bool_or(t.key = '.dagster/grpc_info') then 'Dagster UI'
                else 'meta-ads' end) as started_by,
        concat_ws(' to ', max(t.value) filter (where t.key = any(array[
            'dagster/asset_partition_range_start', 'dagster/partition'])),
            max(t.value) filter (where t.key = 'dagster/asset_partition_range_end')) as dates,
        to_timestamp(r.start_time) as started_at, to_timestamp(r.end_time) as finished_at
    from dagster.runs as r
    left join dagster.run_tags as t using (run_id)
    group by r.id
    order by r.status in ('QUEUED', 'STARTING', 'STARTED', 'CANCELING') desc, r.id desc limit 8"""

_TITLES = {
    "runs": "Runs, those at work first",
    "syncs": "Latest syncs",
    "open_slices": "Slices that are not done",
    "account_days": "Account-days that are not final: held, missing, half or never settled",
    "checks": "Checks that do not pass",
    "calls": "Calls in the last hour",
    "limits": "Limits on calls that are half used up, or block",
    "dead_letters": "Open dead letters",
    "gaps": "Gaps inside the history, newest first",
}
_GAPS_SHOWN = 50
_ROWS_SHOWN = 8


def read_status(database: Database) -> dict[str, Rows]:
    """Accounts, connections, runs, syncs, open slices, waits, gaps, alerts, ..., each as rows."""
    settings = get_settings()
    with database.connect() as connection:
        found: dict[str, Rows] = {
            name: connection.execute(sql.encode()).fetchall() for name, sql in _QUERIES.items()
        }
        made = connection.execute("select to_regclass('dagster.run_tags') as name").fetchone()
        found["runs"] = connection.execute(_RUNS).fetchall() if made and made["name"] else []
    left_out = [each for each in known_accounts(database) if each.is_left_out]
    gaps = find_gaps(database, datetime.now(UTC), with_reach=settings.reach)
    return {
        **found,
        "left_out": [asdict(each) for each in left_out],
        "waits": [asdict(each) for each in current_waits(database, budget_rules(settings))],
        "gaps": [{**asdict(gap), "days": gap.days} for gap in gaps[:_GAPS_SHOWN]],
    }


def print_status(console: Console, found: dict[str, Rows], causes: Sequence[Cause]) -> None:
    """Print causes with their actions, then each part, briefly; an empty part is one line."""
    if not causes:
        console.print("Nothing needs a person.")
    else:
        console.print(f"Needs a person: {len(causes)}", style="bold red")
    for cause in causes:
        console.print(f"  -> {cause.action}", style="bold", soft_wrap=True)
        console.print(f"     {cause.what}{cause.extent}", soft_wrap=True)
    for wait in found["waits"]:
        console.print(
            f"Waiting: {wait['subject']}: {wait['reason']}; calls go on at "
            f"{wait['until']:%Y-%m-%d %H:%M} UTC",
            soft_wrap=True,
        )
    accounts = found["accounts"]
    active = [row for row in accounts if row["is_active"]]
    newest = max((row["last_date"] for row in active if row["last_date"]), default=None)
    console.print(
        f"Ad accounts: {len(active)} active, {len(found['left_out'])} left out, "
        f"{len(accounts) - len(active)} not synced; newest date {newest or 'none'} "
        "(`meta-ads accounts list`)",
        soft_wrap=True,
    )
    explained = {account_id for cause in causes for account_id in cause.account_ids}
    for name, title in _TITLES.items():
        rows = [row for row in found[name] if row.get("account_id") not in explained]
        hidden = len(found[name]) - len(rows)
        note = f" ({hidden} more of the causes above)" if hidden else ""
        if rows:
            _print_rows(console, title + note, rows)
        else:
            console.print(f"{title}: none{note}")


def _print_rows(console: Console, title: str, rows: Rows) -> None:
    table = Table(*rows[0], title=title, title_justify="left", header_style="bold")
    for row in rows[:_ROWS_SHOWN]:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)
    if len(rows) > _ROWS_SHOWN:
        console.print(f"{len(rows) - _ROWS_SHOWN} more; --json has all of them")


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    return "" if value is None else str(value)
