"""The dashboard over HTTP: who gets in, what forms do, what pages show, and to whom."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
import requests

from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.serving.dashboard.overview import delayed_hours
from meta_ads_pipeline.serving.dashboard.questions import Scope
from meta_ads_pipeline.serving.dashboard.view import View
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving import dagster_records
from tests.serving.conftest import running_service
from tests.serving.small_marts import DEFAULT, FIRST, LAST, connect_accounts, fill

DATES = f"start={FIRST}&end={LAST}"
HOSTILE = "<script>alert('x')</script>"

PAGES = (
    f"/?{DATES}",
    f"/?{DATES}&breakdown=hour&measure=roas&timezone=Asia/Tokyo&currency=USD",
    f"/?{DATES}&breakdown=minute&account=1",
    f"/ads?{DATES}",
    f"/ads?{DATES}&level=ad&limit=2000&sort=ctr",
    f"/ads?{DATES}&level=adset&account=1&campaign=120",
    f"/days/1/{FIRST}",
    f"/changes?since={FIRST}",
    f"/anomalies?{DATES}",
    "/syncs",
    "/runs/run-1",
)


class Browser:
    """A person's browser without scripts: cookies, redirects, forms."""

    def __init__(self, url: str) -> None:
        self.url, self.session = url, requests.Session()
        self.session.headers["Accept"] = "text/html"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(f"{self.url}/dashboard{path}", timeout=20, **options)

    def post(self, path: str, fields: Any = None, **options: Any) -> requests.Response:
        return self.session.post(f"{self.url}/dashboard{path}", fields, timeout=20, **options)

    def sign_in(self, key: str, **fields: str) -> requests.Response:
        return self.post("/sign-in", {"key": key, **fields})

    def form_token(self) -> str:
        return re.search(r'name="form_token" value="(\w+)"', self.get("/syncs").text)[1]


class World:
    """Two workspaces with numbers, connections and runs; a service; a Dagster that queues."""

    def __init__(self, database: Database, url: str) -> None:
        self.database, self.url = database, url

    def key(self, workspace: str = "default", role: str = "operator") -> str:
        return api_keys.create_key(
            self.database, workspace=workspace, member=f"a {role}", name="x", role=role
        )[0]

    def browser(self, workspace: str = "default", role: str = "operator") -> Browser:
        browser = Browser(self.url)
        assert browser.sign_in(self.key(workspace, role)).status_code == 200
        return browser


@pytest.fixture(scope="module")
def world(postgres_url: str, template_database: str) -> Iterator[World]:
    with copy_of_template(postgres_url, template_database) as database:
        fill(database)
        dagster_records.make_tables(database)
        with database.connect() as connection:
            connect_accounts(connection)
            connection.execute("update marts.dim_ads set name = %s where ad_id = '140'", [HOSTILE])
            connection.execute(
                "insert into marts.entities select gen_random_uuid(), workspace_id, 'ad', ad_id,"
                " name, null, account_id, 'meta', 'ACTIVE', effective_status, null, false,"
                " now(), null from marts.dim_ads"
            )
            connection.execute(
                "update marts.dim_creatives set destination_url = 'javascript:alert(1)',"
                " title = %s where creative_id = 'c141'", [HOSTILE],
            )  # fmt: skip
        for account in ("1", "9"):
            dagster_records.add_run(database, f"run-{account}", accounts=account)
        with dagster_records.webserver(database) as dagster:
            settings = Settings(META_ADS_DAGSTER_URL=dagster)  # type: ignore[call-arg]
            with running_service(settings, database) as service:
                yield World(database, service.url)


@pytest.fixture(scope="module")
def person(world: World) -> Browser:
    return world.browser()


def test_signing_in_goes_on_to_what_was_asked_for(world: World) -> None:
    browser = Browser(world.url)
    asked = browser.get(f"/ads?{DATES}&level=campaign")
    assert asked.url.startswith(f"{world.url}/dashboard/sign-in?next=")
    assert "Sign in" in asked.text
    following = re.search(r'name="next" value="([^"]+)"', asked.text)[1].replace("&amp;", "&")
    answer = browser.sign_in(world.key(), next=following)
    assert answer.url == f"{world.url}/dashboard/ads?{DATES}&level=campaign"
    cookie = answer.history[0].headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age="):
        assert part in cookie
    stored = world.database.run(
        lambda session: session.execute(
            "select token_hash from control.dashboard_sessions"
        ).fetchall()
    )
    token = browser.session.cookies["meta_ads_dashboard"].encode()
    assert all(token not in bytes(row["token_hash"]) for row in stored)


def test_the_cookie_is_secure_where_the_proxy_speaks_tls(world: World) -> None:
    answer = Browser(world.url).post(
        "/sign-in", {"key": world.key()}, headers={"X-Forwarded-Proto": "https"},
        allow_redirects=False,
    )  # fmt: skip
    assert answer.headers["set-cookie"].startswith("__Host-meta_ads_dashboard=")
    assert "; Secure" in answer.headers["set-cookie"]


def test_nobody_signs_in_over_an_open_network(world: World) -> None:
    for method in ("GET", "POST"):
        answer = requests.request(
            method, f"{world.url}/dashboard/sign-in", data={"key": world.key()},
            headers={"Host": "ads.example"}, timeout=20, allow_redirects=False,
        )  # fmt: skip
        assert answer.status_code == 403
        assert "HTTPS" in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/dashboard/", "/\\evil.example", "/x"]
)
def test_signing_in_leads_nowhere_else(world: World, elsewhere: str) -> None:
    answer = Browser(world.url).sign_in(world.key(), next=elsewhere)
    assert answer.url == f"{world.url}/dashboard/"


def test_a_key_that_is_unknown_or_revoked_does_not_get_in(world: World) -> None:
    key = world.key()
    browser = Browser(world.url)
    browser.sign_in(key)
    assert browser.get("/syncs").url.endswith("/syncs")
    api_keys.revoke_key(world.database, key)
    assert "/sign-in" in browser.get("/syncs").url  # the session has ended with it
    assert browser.get("/stream", headers={"Accept": "text/event-stream"}).status_code == 401
    for refused in (key, "mak_unknown", ""):
        answer = browser.sign_in(refused)
        assert answer.status_code == 401
        assert "unknown, expired or revoked" in answer.text


def test_signing_out_ends_the_session_for_whoever_has_the_cookie(world: World) -> None:
    browser = world.browser()
    cookies = browser.session.cookies.copy()
    answer = browser.post("/sign-out", {"form_token": browser.form_token()})
    assert answer.url.endswith("/sign-in")
    browser.session.cookies = cookies
    assert "/sign-in" in browser.get("/syncs").url


def test_a_session_ends_when_it_has_not_been_used(world: World) -> None:
    browser = world.browser()
    with world.database.connect() as connection:
        connection.execute(
            "update control.dashboard_sessions set expires_at = now()"
            " where created_at = (select max(created_at) from control.dashboard_sessions)"
        )
    assert "/sign-in" in browser.get("/syncs").url


def test_forms_of_other_sites_do_nothing(world: World) -> None:
    browser = world.browser()
    fields = {"connection": "main", "start": "2026-11-01", "end": "2026-11-02"}
    own = browser.form_token()
    runs = "select count(*) as n from dagster.runs"
    before = world.database.run(lambda session: session.execute(runs).fetchone())
    for token, headers in (
        ("", {}),
        (world.browser().form_token(), {}),
        (own, {"Origin": "https://evil.example"}),
        (own, {"Sec-Fetch-Site": "cross-site"}),
        (own, {"Origin": "null"}),
    ):
        answer = browser.post("/backfill", {**fields, "form_token": token}, headers=headers)
        assert answer.status_code == 403, answer.text
    for path in ("/sign-out", "/runs/run-1/cancel"):
        assert browser.post(path, {"form_token": "x"}).status_code == 403
    stranger = Browser(world.url)
    answer = stranger.post(
        "/sign-in", {"key": world.key()}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert before == world.database.run(lambda session: session.execute(runs).fetchone())


@pytest.mark.parametrize("path", PAGES)
def test_pages_show_their_own_workspace_and_nothing_of_another(world, person, path) -> None:
    answer = person.get(path)
    assert answer.status_code == 200, answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?! src=\"/dashboard/static/| type=\"application/json\")",
                         answer.text)  # fmt: skip
    assert not re.search(r"\son\w+=", answer.text)
    for address in re.findall(r'(?:src|href)="(https?:[^"]+)"', answer.text):
        assert address.startswith(("https://shop.example/", "http://127.0.0.1"))
    foreign = world.browser("other").get(path.replace("account=1", "account=9"))
    assert "campaign 120" not in foreign.text
    if path.startswith(("/days", "/runs")):
        assert foreign.status_code == 404
    else:
        assert foreign.status_code in (200, 422)  # a currency that it does not have


def test_accounts_of_others_are_as_unknown_as_none(world: World, person: Browser) -> None:
    said = [person.get(f"/?account={account}") for account in ("9", "777")]
    assert [answer.status_code for answer in said] == [422, 422]
    assert said[0].text == said[1].text
    assert person.get("/runs/run-9").status_code == 404
    token = person.form_token()
    assert person.post("/runs/run-9/cancel", {"form_token": token}).status_code == 404


def test_names_are_text_and_links_are_of_the_web(person: Browser) -> None:
    answer = person.get(f"/ads?{DATES}&level=ad&account=1")
    assert HOSTILE not in answer.text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in answer.text
    assert 'href="javascript:' not in answer.text
    assert 'href="https://shop.example/0" rel="noopener noreferrer nofollow"' in answer.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("start=2026-13-01", "start"),
        ("timezone=Mars/Base", "not an IANA timezone"),
        ("measure=reach", "is none of spend"),
        ("breakdown=fortnight", "breakdown"),
        ("start=2026-11-03&end=2026-11-01", "is before start"),
        ("currency=XXX", "currency: expected one of"),
        ("account=%00", "NUL"),
    ],
)
def test_what_cannot_be_shown_is_told_as_a_page(person: Browser, query: str, said: str) -> None:
    answer = person.get(f"/?{query}")
    assert answer.status_code == 422
    assert said in answer.text
    assert "<h1>" in answer.text


def test_the_view_stays_in_every_link(person: Browser) -> None:
    page = person.get(f"/?{DATES}&timezone=Asia/Tokyo&currency=USD&measure=clicks").text
    links = re.findall(r'href="(/dashboard/[^"]*\?[^"]*)"', page)
    kept = [link for link in links if "/static/" not in link]
    assert len(kept) > 15
    assert all("timezone=Asia%2FTokyo" in link and "currency=USD" in link for link in kept)


def test_the_file_has_the_rows_that_the_table_shows(person: Browser) -> None:
    shown = person.get(f"/ads?{DATES}&level=ad&account=1&sort=spend").text
    answer = person.get(f"/ads?{DATES}&level=ad&account=1&sort=spend&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert f"ad_{FIRST}_{LAST}.csv" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    spend = [float(row["spend"] or "inf") for row in rows]
    assert spend == sorted(spend)
    seen = re.findall(r'<tr><th scope="row">.*?<td class="n">([\d,.–]+)</td>', shown, re.DOTALL)
    assert [f"{value:,.2f}" if value < float("inf") else "–" for value in spend] == seen


def test_sparklines_are_of_the_rows_of_the_page(person: Browser) -> None:
    path = f"/ads?{DATES}&level=ad&currency=EUR&top=1"
    page = person.get(path).text
    (shown,) = re.findall(r'<td class="spark" data-id="(\w+)"', page)
    address = html.unescape(re.search(r'data-sparklines="/dashboard([^"]+)"', page)[1])
    lines = person.get(address).json()
    assert list(lines) == [shown]
    assert len(lines[shown].split()) == (LAST - FIRST).days + 1


def test_the_best_stand_above_the_sum_of_the_others(person: Browser) -> None:
    path = f"/ads?{DATES}&level=ad&currency=EUR&sort=-clicks"
    shown = person.get(f"{path}&top=1").text
    body = shown.partition("<tbody>")[2]
    assert re.findall(r'<th scope="row">(All others|All|ad \d+)', body)[-1] == "All others"
    assert "The 1 ads with the most Clicks" in shown
    assert "Rows on a page" not in shown
    files = [person.get(f"{path}{top}&format=csv").text for top in ("", "&top=1")]
    every, best = (list(csv.DictReader(io.StringIO(text))) for text in files)
    assert [row["is_rest"] for row in best] == ["false", "true"]
    assert best[0]["ad"] == every[0]["ad"]
    assert int(best[1]["clicks"]) == sum(int(row["clicks"] or 0) for row in every[1:])
    assert "All others" not in person.get(f"{path}&top=10").text  # there are fewer
    assert person.get(f"{path}&top=0").status_code == 422


def test_numbers_are_those_of_the_api(world: World, person: Browser) -> None:
    answer = requests.get(
        f"{world.url}/workspaces/default/metrics",
        {"start": FIRST, "end": LAST, "measures": "spend,roas", "currency": "EUR"},
        headers={"Authorization": f"Bearer {world.key()}"}, timeout=20,
    ).json()["rows"][0]  # fmt: skip
    page = person.get(f"/?{DATES}&currency=EUR").text
    tiles = re.findall(r'<p class="value">([^<]+)</p>', page)
    assert tiles[0] == f"{float(answer['spend']):,.2f}"
    assert tiles[-1] == f"{float(answer['roas']):,.2f}"


def test_settled_days_are_told_apart_and_held_ones_open_their_totals(person: Browser) -> None:
    page = person.get(f"/?{DATES}&account=1").text
    assert re.search(r"Settled, 7 days.*Still open, 5 days", page, re.DOTALL)
    held = re.search(r'<a class="mark mismatch" href="(/dashboard/days/1/2026-10-30)"', page)[1]
    day = person.get(held.removeprefix("/dashboard")).text
    assert "does not agree: held" in day
    assert "two hours" in day  # the check that fails


def test_lifetime_budgets_stand_beside_the_time_that_has_passed(world, person: Browser) -> None:
    page = person.get(f"/?{DATES}&account=1").text.partition("Lifetime budgets")[2]
    row = re.search(r">campaign 121 <small.*?</tr>", page, re.DOTALL)[0]
    with world.database.connect() as connection:
        spent = connection.execute(
            "select sum(spend) as spend from marts.metric_facts where campaign_id = '121'"
        ).fetchone()["spend"]
    time = (LAST - FIRST).days * 24 + 23  # until the last date's end in Berlin
    assert re.findall(r'<td class="n">([^<]+)</td>', row) == [
        f"{spent:,.2f}", "800.00", f"{round(100 * time / (23 * 24))} %",
    ]  # fmt: skip
    assert f"{round(spent / 8)} %</meter>" in row
    assert "15 Nov 2026" in row
    assert page.count("<meter") == 1
    assert "≥" not in row


def test_changes_and_anomalies_lead_to_their_day(person: Browser) -> None:
    changes = person.get(f"/changes?since={FIRST}&account=1").text
    assert re.search(
        rf'<a href="/dashboard/days/1/{FIRST}">23 Oct 2026</a></td>\s*<td>Spend</td>\s*'
        r'<td class="n">4\.00</td><td class="n">5\.00</td><td class="n">1\.00</td>',
        changes,
    )
    assert "No later pull has changed" in person.get("/changes?since=2099-01-01").text
    anomalies = person.get(f"/anomalies?{DATES}&account=1").text
    assert "Spend is three times the usual." in anomalies
    assert '<a href="/dashboard/days/1/2026-10-26">' in anomalies
    assert "Nothing unusual" in person.get(f"/anomalies?{DATES}&status=resolved").text


def test_a_viewer_sees_no_buttons_and_cannot_start_anything(world: World) -> None:
    viewer = world.browser(role="viewer")
    page = viewer.get("/syncs").text
    assert "Backfill" not in page
    token = re.search(r'name="form_token" value="(\w+)"', page)[1]
    fields = {"form_token": token, "connection": "main", "start": "2026-11-01", "end": "2026-11-02"}
    assert viewer.post("/backfill", fields).status_code == 403
    assert viewer.post("/runs/run-1/cancel", {"form_token": token}).status_code == 403


def test_a_backfill_says_its_cost_starts_once_and_is_cancelled(world: World) -> None:
    with world.database.connect() as connection:
        connection.execute("delete from dagster.runs where run_id = 'run-1'")
    person = world.browser()
    dates = {"connection": "main", "account": "1", "start": "2026-11-10", "end": "2026-11-12"}
    cost = person.get("/syncs", params=dates).text
    assert re.search(r"<strong>\d+ API calls</strong>", cost)
    token = {"form_token": person.form_token()}
    run = person.post("/backfill", {**dates, **token})
    assert "/dashboard/runs/" in run.url, run.text
    assert "0 of 24 slices" in run.text
    again = person.post("/backfill", {**dates, **token})
    assert (again.status_code, "is at work on" in again.text) == (409, True)
    cancelled = person.post(run.url.split("/dashboard")[1] + "/cancel", token)
    assert "It was cancelled" in cancelled.text
    wrong = person.get("/syncs", params={**dates, "start": "2099-01-01", "end": "2099-01-01"})
    assert "has not begun" in wrong.text
    assert person.post("/backfill", {**dates, **token, "start": "x"}).status_code == 422


def test_the_stream_is_open_to_the_session_and_resumes(world: World) -> None:
    person = world.browser()
    with world.database.connect() as connection:
        connection.execute(
            "insert into control.stream_events (workspace_id, kind, data)"
            " values (%s, 'sync', '{\"n\": 1}')", [DEFAULT],
        )  # fmt: skip
    answer = person.get(
        "/stream", stream=True, headers={"Accept": "text/event-stream", "Last-Event-ID": "0"}
    )
    lines = answer.iter_lines(chunk_size=1)
    assert next(line for line in lines if line.startswith(b"data")) == b'data: {"n":1}'
    answer.close()


def test_static_files_are_kept_by_browsers_and_nothing_else_is_served(world: World) -> None:
    browser = Browser(world.url)
    page = browser.get("/sign-in").text
    for address in re.findall(r'(?:src|href)="(/dashboard/static/[^"]+)"', page):
        answer = requests.get(world.url + address, timeout=20)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert b"plotly.js" in browser.get("/static/plotly.js").content[:500]
    for name in ("..%2Fapp.py", "nothing.js", "%2Fetc%2Fpasswd"):
        assert browser.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize(
    ("timezone", "now", "last_hour", "expected"),
    [
        ("account", "2026-11-20T14:20+01:00", "2026-11-20T10:00+01:00", {11, 12, 13}),
        ("account", "2026-11-20T14:20+01:00", "2026-11-18T10:00+01:00", set(range(14))),
        ("account", "2026-11-20T14:20+01:00", None, set(range(14))),
        ("UTC", "2026-11-20T14:20+01:00", "2026-11-20T10:00+01:00", {10, 11, 12}),
        ("account", "2026-11-22T14:20+01:00", "2026-11-20T21:00+01:00", {22, 23}),
    ],
)
def test_hours_that_are_over_and_not_there_are_delayed(timezone, now, last_hour, expected) -> None:
    scope = Scope(
        database=None, workspace_id="", view=View(timezone=timezone), accounts=(),
        currencies=(), currency="EUR", start=FIRST, end=LAST, today=LAST,
        now=datetime.fromisoformat(now),
    )  # fmt: skip
    account = {
        "is_late": True,
        "timezone": "Europe/Berlin",
        "last_hour_at": last_hour and datetime.fromisoformat(last_hour),
    }
    shown = date(2026, 11, 20)
    assert delayed_hours(scope, [account], shown) == expected
    assert delayed_hours(scope, [{**account, "is_late": False}], shown) == set()


@pytest.fixture
def chromium() -> Iterator[Any]:
    """Debian's browser, which continuous integration installs."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield browser
        browser.close()


def test_a_person_finds_an_ad_and_watches_a_backfill_finish(world: World, chromium: Any) -> None:
    with world.database.connect() as connection:
        connection.execute("delete from dagster.runs where run_id = 'run-1'")
    from axe_playwright_python.sync_playwright import Axe

    page = chromium.new_page(color_scheme="dark")
    page.set_default_timeout(60_000)
    problems: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )

    def look() -> None:
        """Nothing keeps a screen reader or the keyboard out."""
        assert [each["id"] for each in Axe().run(page).response["violations"]] == [], page.url

    # An address with a key, as `meta-ads up` prints it; by keyboard.
    page.goto(f"{world.url}/dashboard/sign-in#key={world.key()}")
    assert "#" not in page.url
    look()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{world.url}/dashboard/")

    page.goto(f"{world.url}/dashboard/?{DATES}&account=1")
    page.wait_for_selector("#trend .main-svg")
    assert page.locator(".chart .loading").count() == 0
    look()
    # New numbers come by themselves, and what was opened stays open.
    page.click("#trend + script + details summary")
    with world.database.connect() as connection:
        connection.execute(
            "update marts.account_daily set impressions = 77777777"
            " where account_id = '1' and provider = 'meta' and event_date = %s", [FIRST],
        )  # fmt: skip
        connection.execute(
            "insert into control.stream_events (workspace_id, kind, data)"
            " values (%s, 'last_updated', '{}')", [DEFAULT],
        )  # fmt: skip
    page.wait_for_selector(".tiles >> text=/^7[78],[0-9]{3},[0-9]{3}$/")
    assert page.locator("#status").inner_text() == "The numbers have been updated."
    assert page.locator("#trend + script + details").get_attribute("open") is not None
    assert page.locator("#trend .main-svg").count() > 0

    page.goto(f"{world.url}/dashboard/ads?{DATES}&account=1&level=campaign")
    page.click("text=campaign 120")
    page.click("tbody >> text=ad set 130")
    assert page.get_by_text(HOSTILE).count() == 1
    assert "adset=130" in page.url
    look()
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    assert download.value.suggested_filename == f"ad_{FIRST}_{LAST}.csv"

    page.click("nav >> text=Syncs")
    page.fill("[name=start]", "2026-11-10")
    page.fill("[name=end]", "2026-11-11")
    page.click("text=Show the cost")
    assert "API calls" in page.inner_text(".plan")
    look()
    page.click("text=Start the backfill")
    page.wait_for_url("**/dashboard/runs/*")
    run_id = page.url.rsplit("/", 1)[1].split("?")[0]
    slice_loads = (
        "insert into control.slices (account_id, partition_date, asset, status, run_id)"
        " select '1', '2026-11-10', asset, 'done', %s"
        " from unnest(array['insights_daily', 'insights_hourly']) as asset"
    )
    with world.database.connect() as connection:
        connection.execute("update dagster.runs set status = 'STARTED' where run_id = %s", [run_id])
        connection.execute(slice_loads, [run_id])
    page.wait_for_selector("text=2 of 16 slices")
    with world.database.connect() as connection:
        connection.execute("update dagster.runs set status = 'SUCCESS' where run_id = %s", [run_id])
    page.wait_for_selector("text=All is pulled and the marts are built.")
    look()
    assert problems == []
    assert all(address.startswith((world.url, "blob:")) for address in asked)
