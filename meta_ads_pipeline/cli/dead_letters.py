"""``meta-ads dead-letters``: what could not be used, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import Runtime, running
from meta_ads_pipeline.cli.sync_run import build_marts
from meta_ads_pipeline.control import dead_letters
from meta_ads_pipeline.control.dead_letters import DeadLetterStatus, StoredDeadLetter

if TYPE_CHECKING:
    from meta_ads_pipeline.raw.replay import Replay

app = typer.Typer(
    add_completion=False,
    help="Rows and objects that could not be used: look, replay after a fix, or discard.",
    no_args_is_help=True,
)

Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="Numbers as `list` shows them.")]
AssetFilter = Annotated[
    list[str] | None, typer.Option("--asset", help="For instance insights_daily; may be repeated.")
]


@app.command("list")
def list_letters(
    account: options.Accounts = None,
    asset: AssetFilter = None,
    status: Annotated[
        DeadLetterStatus | None, typer.Option("--status", help="Only these; else all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Dead letters to show at most.")] = 50,
    as_json: options.AsJson = False,
) -> int:
    """Show letters, the latest seen first."""
    with running(needs_api=False) as runtime, runtime.database.connect() as connection:
        letters = dead_letters.find(
            connection,
            accounts=options.account_ids(account),
            assets=asset or (),
            status=status,
            limit=limit,
        )
    if as_json:
        typer.echo(json.dumps([_document(letter) for letter in letters], indent=2))
        return 0
    if not letters:
        typer.echo("no dead letters")
        return 0
    names = ("id", "status", "account", "asset", "date", "object", "tries", "last seen", "reason")
    table = Table(*names, header_style="bold")
    for each in letters:
        table.add_row(
            *(str(each.dead_letter_id), each.status, each.account_id, each.asset),
            *(str(each.partition_date or ""), each.object_id or "", str(each.attempts)),
            *(f"{each.last_seen_at:%Y-%m-%d %H:%M}", each.reason),
        )
    plain_console().print(table)
    return 0


@app.command()
def show(
    dead_letter_id: Annotated[int, typer.Argument(metavar="ID", help="As `list` shows it.")],
    as_json: options.AsJson = False,
) -> int:
    """Show one letter whole, with the document as Meta sent it."""
    with running(needs_api=False) as runtime, runtime.database.connect() as connection:
        letter = dead_letters.get(connection, dead_letter_id)
    document = _document(letter)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return 0
    for name, value in document.items():
        if value is not None and name != "document":
            typer.echo(f"{name:15} {value}")
    # The stored text, not the parsed value: numbers keep their digits.
    typer.echo(f"{'document':15} {letter.document}")
    return 0


@app.command()
def replay(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID...]", help="As `list` shows them.")
    ] = None,
    account: options.Accounts = None,
    asset: AssetFilter = None,
    everything: Annotated[bool, typer.Option("--all", help="All open letters.")] = False,
    build: Annotated[
        bool, typer.Option(help="Build and check the marts of the dates that changed.")
    ] = True,
    as_json: options.AsJson = False,
) -> int:
    """Put letters through today's code: what is good now lands, the rest stays open.

    Exit code 1 when some stay open.
    """
    from meta_ads_pipeline.raw.replay import replay as replay_documents

    if not (ids or account or asset or everything):
        raise typer.BadParameter("give the numbers of dead letters, or --account, --asset or --all")
    with running(needs_api=False) as runtime:
        with runtime.database.connect() as connection:
            for each in ids or ():
                dead_letters.get(connection, each)
            found = dead_letters.find(
                connection,
                ids=ids or (),
                accounts=options.account_ids(account),
                assets=asset or (),
                status=DeadLetterStatus.OPEN,
            )
        results = replay_documents(
            runtime.database,
            [letter.dead_letter_id for letter in found],
            api_version=runtime.settings.api_version,
        )
        problems = _build(runtime, results) if build else []
    _tell(results, problems, as_json=as_json)
    return 0 if all(result.landed for result in results) and not problems else 1


@app.command()
def discard(
    ids: Ids,
    reason: Annotated[str, typer.Option("--reason", help="Why nothing is lost without them.")],
    as_json: options.AsJson = False,
) -> int:
    """Close letters without using them. They are kept, with the reason."""
    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    with running(needs_api=False) as runtime:
        discarded = dead_letters.discard(runtime.database, ids, reason.strip())
    if as_json:
        typer.echo(json.dumps({"discarded": discarded}))
    else:
        closed = sorted(set(ids) - set(discarded))
        typer.echo(f"discarded: {_listed(discarded)}")
        if closed:
            typer.echo(f"not open any more: {_listed(closed)}")
    return 0


def _build(runtime: Runtime, results: Sequence[Replay]) -> list[str]:
    """Bring the marts up to date with what landed, date range by date range."""
    from meta_ads_pipeline.raw.pull_insights import consecutive_windows

    landed = [result for result in results if result.landed and result.partition_date]
    accounts = sorted({result.account_id for result in landed})
    dates = sorted({result.partition_date for result in landed if result.partition_date})
    return [
        problem
        for window in consecutive_windows(dates)
        for problem in build_marts(runtime, window, accounts)
    ]


def _tell(results: Sequence[Replay], problems: Sequence[str], *, as_json: bool) -> None:
    landed = sum(result.landed for result in results)
    if as_json:
        document = {
            "landed": landed,
            "still_open": len(results) - landed,
            "letters": [
                {**asdict(each), "partition_date": _text(each.partition_date)} for each in results
            ],
            "problems": list(problems),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    for each in results:
        word = "landed" if each.landed else "still open"
        typer.echo(f"{each.dead_letter_id} {word}: {each.outcome}")
    typer.echo(f"{landed} landed, {len(results) - landed} still open")
    for problem in problems:
        typer.echo(f"marts: {problem}", err=True)


def _document(letter: StoredDeadLetter) -> dict[str, Any]:
    plain = {name: _text(value) for name, value in asdict(letter).items()}
    return {**plain, "document": json.loads(letter.document)}


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, int | str) else str(value)


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids)) or "none"
