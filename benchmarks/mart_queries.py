"""Every query of docs/marts against four million facts: each within 200 ms.

Forty accounts with 25 ads each deliver in every hour of 160 days; 40,000 creatives, 9,636 exchange
rates. Facts are written by SQL, dimensions and rollups by dbt. Medians of three, caches warm.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from dbt.cli.main import dbtRunner
from psycopg.errors import QueryCanceled

from meta_ads_pipeline.control.database import Connection, Database, export_environment
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[1]
TARGET_MS = 200
TIMEOUT_MS = 10_000
DAYS = 160

_TODAY = "(now() at time zone 'UTC')::date"
_SEEN = "now(), now(), now()"
_ENTITY = "document, document_hash, first_seen_at, changed_at, pulled_at"


def objects(days: int) -> str:
    """SQL that makes forty accounts and what is in them, first seen ``days`` ago."""
    return f"""
insert into control.ad_accounts (account_id, workspace_id, name, currency, timezone, account_status)
select a::text, '00000000-0000-0000-0000-000000000001', 'Account ' || a, 'EUR', 'UTC', 1
from generate_series(1, 40) as a;

insert into raw.campaigns (id, account_id, name, status, effective_status, objective, {_ENTITY})
select a || '01' || c, a::text, 'Campaign ' || c, 'ACTIVE', 'ACTIVE', 'OUTCOME_SALES',
    '{{"daily_budget": "20000", "name": "Campaign"}}', '', {_SEEN}
from generate_series(1, 40) as a cross join generate_series(1, 5) as c;

insert into raw.adsets (id, account_id, name, status, effective_status, campaign_id, {_ENTITY})
select a || '02' || s, a::text, 'Ad set ' || s, 'ACTIVE', 'ACTIVE', a || '01' || (s - 1) / 2 + 1,
    '{{}}', '', {_SEEN}
from generate_series(1, 40) as a cross join generate_series(1, 10) as s;

insert into raw.ads
    (id, account_id, name, status, effective_status, adset_id, campaign_id, creative_id,
    {_ENTITY})
select a || '03' || lpad(n::text, 2, '0'), a::text, 'Ad ' || n, 'ACTIVE', 'ACTIVE',
    a || '02' || (n - 1) % 10 + 1, a || '01' || (n - 1) % 10 / 2 + 1, a || '04' || n,
    '{{}}', '', {_SEEN}
from generate_series(1, 40) as a cross join generate_series(1, 25) as n;

insert into raw.creatives (id, account_id, name, status, effective_status, object_type, {_ENTITY})
select a || '04' || n, a::text, 'Creative ' || n, 'ACTIVE', 'ACTIVE', 'SHARE',
    '{{"title": "Sale", "object_story_spec": {{"link_data": {{"link": "https://a.example/?b=1"}}}}}}',
    '', {_SEEN}
from generate_series(1, 40) as a cross join generate_series(1, 1000) as n;

insert into raw.entity_versions
    (account_id, level, entity_id, valid_from, document, document_hash)
select account_id, 'campaign', id, {_TODAY} - {days} + v * 30, document, v::text
from raw.campaigns cross join generate_series(0, 4) as v
union all
select account_id, 'ad', id, {_TODAY} - {days}, '{{"name": "Ad"}}', '' from raw.ads;
"""


def facts(days: int) -> str:
    """SQL that makes 25,000 facts for each of the latest ``days``."""
    return f"""
select control.ensure_month_partitions('marts.metric_facts', {_TODAY} - {days}, {_TODAY});

insert into marts.metric_facts
select
    ads.id || '-'
    || to_char(days.day + hours.hour * interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    '00000000-0000-0000-0000-000000000001', 'meta', ads.account_id, 'ad', ads.id,
    md5('meta:ad:' || ads.id)::uuid, ads.campaign_id, ads.adset_id, ads.id, 'hour',
    (days.day + hours.hour * interval '1 hour') at time zone 'UTC', days.day::date, hours.hour,
    'UTC', 'EUR', 'sales', 1.25, 100 + hours.hour, 3, 2, null, null, null, null,
    days.day < {_TODAY} - 28, 'insights', now()
from raw.ads as ads
cross join generate_series({_TODAY} - {days}::int, {_TODAY} - 1, interval '1 day') as days (day)
cross join generate_series(0, 23) as hours (hour);

insert into marts.metric_facts
select
    ads.id || '-' || to_char(days.day, 'YYYY-MM-DD'),
    '00000000-0000-0000-0000-000000000001', 'meta', ads.account_id, 'ad', ads.id,
    md5('meta:ad:' || ads.id)::uuid, ads.campaign_id, ads.adset_id, ads.id, 'day',
    days.day at time zone 'UTC', days.day::date, null, 'UTC', 'EUR', 'sales',
    null, null, null, null, 2, 59.90, null, 2, days.day < {_TODAY} - 28, 'insights', now()
from raw.ads as ads
cross join generate_series({_TODAY} - {days}::int, {_TODAY} - 1, interval '1 day') as days (day);

insert into marts.conversions_daily (
    workspace_id, account_id, campaign_id, adset_id, ad_id, event_date, timezone, currency,
    conversion, unit, action_type, value, types_present, disagreement, overlap, is_settled,
    pulled_at
)
select
    workspace_id, account_id, campaign_id, adset_id, ad_id, event_date, timezone, currency,
    'purchases', 'count', 'omni_purchase', purchases, 1, 0, 'single', is_settled, pulled_at
from marts.metric_facts where grain = 'day';

insert into seeds.exchange_rates
select {_TODAY} - day, currency, 'USD', 1.1
from generate_series(1, 803) as day
cross join unnest(array['EUR', 'GBP', 'JPY', 'PLN', 'CHF', 'SEK', 'NOK', 'DKK', 'CZK', 'HUF', 'RON',
    'BGN']) as currency;
"""


def queries() -> Iterator[tuple[str, str]]:
    """The mart and the text of each query in docs/marts."""
    for page in sorted((ROOT / "docs" / "marts").glob("*.md")):
        if page.stem != "README":
            for query in re.findall(r"^```sql\n(.+?);\n```$", page.read_text(), re.S | re.M):
                yield page.stem, query


def milliseconds(connection: Connection, query: str) -> float:
    """The median of three runs, after one to warm up."""
    took = []
    for _ in range(4):
        begun = time.perf_counter()
        try:
            connection.execute(query).fetchall()
        except QueryCanceled:
            return TIMEOUT_MS
        took.append((time.perf_counter() - begun) * 1000)
    return median(took[1:])


def fill(database: Database, target: Path, days: int = DAYS) -> None:
    """An empty project, then the facts of so many days, then what dbt makes of them."""
    places = [
        "--project-dir",
        str(ROOT / "dbt_project"),
        "--profiles-dir",
        str(ROOT / "dbt_project"),
    ]
    options = [*places, "--target-path", str(target), "--log-path", str(target), "--quiet"]
    runner = dbtRunner()
    assert runner.invoke(["build", "--exclude-resource-type", "test", *options]).success
    with database.connect() as connection:
        connection.execute((objects(days) + facts(days)).encode())
    built = "account_daily campaign_daily adset_daily ad_daily account_hourly campaign_hourly"
    dimensions = (
        "dim_ad_accounts dim_campaigns dim_adsets dim_ads dim_creatives entities entity_history"
    )
    models = f"{built} {dimensions}".split()
    assert runner.invoke(["run", "--select", *models, *options]).success
    with database.connect(autocommit=True) as connection:
        connection.execute("vacuum analyze")


def report(database: Database) -> bool:
    """Print what each query took; whether all are within the target."""
    met = True
    with database.connect(autocommit=True) as connection:
        connection.execute(f"set statement_timeout = {TIMEOUT_MS}")
        row = connection.execute("select count(*) as facts from marts.metric_facts").fetchone()
        print(f"{row['facts'] if row else 0:,} facts; target {TARGET_MS} ms")
        for mart, query in queries():
            took = milliseconds(connection, query)
            met &= took <= TARGET_MS
            words = " ".join(query.split())
            print(
                f"{took:8.0f} ms  {mart:26} {'' if took <= TARGET_MS else 'TOO SLOW: '}{words[:90]}"
            )
    return met


def main() -> bool:
    """Fill a database of its own and time the queries."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "server")
        database = Database(server.start(), server=server)
        try:
            database.migrate()
            export_environment(database)
            fill(database, Path(folder) / "dbt")
            return report(database)
        finally:
            database.dispose()
            server.release()
