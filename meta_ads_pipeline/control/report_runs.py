"""Report runs remembered in Postgres: after a restart they are read instead of asked anew."""

from __future__ import annotations

from datetime import timedelta

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.meta_api.report_memory import StoredReport

KEPT = timedelta(days=30)
"""Meta forgets a report's id after this time (Insights, "Asynchronous jobs")."""


class PostgresReportStore:
    """A ``ReportStore`` in ``control.report_runs``. Raises ``DatabaseError`` when that is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, key: str) -> StoredReport | None:
        """The run of this request, if one was started."""
        row = self._database.run(
            lambda connection: connection.execute(
                "select run_id, created_at from control.report_runs where job_key = %s", [key]
            ).fetchone()
        )
        return None if row is None else StoredReport(row["run_id"], row["created_at"])

    def save(self, key: str, job: StoredReport) -> None:
        """Remember a run just started; forget those that Meta has forgotten."""

        def save(connection: Connection) -> None:
            connection.execute(
                "insert into control.report_runs (job_key, run_id, created_at)"
                " values (%s, %s, %s) on conflict (job_key) do update set"
                "   run_id = excluded.run_id, created_at = excluded.created_at",
                [key, job.run_id, job.created_at],
            )
            connection.execute(
                "delete from control.report_runs where created_at < %s", [job.created_at - KEPT]
            )

        self._database.run(save)

    def remove(self, key: str) -> None:
        """Forget it."""
        self._database.run(
            lambda connection: connection.execute(
                "delete from control.report_runs where job_key = %s", [key]
            )
        )
