"""Fields that Meta refuses: rows go on without them, and somebody must get to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meta_ads_pipeline.control.alerts import Alert, Severity, update_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.redaction import redact

KIND = "fields_refused"


def record_refused_fields(
    database: Database,
    asset: str,
    request: str,
    dropped: Iterable[Mapping[str, Mapping[str, str]]],
) -> dict[str, str]:
    """Alert to the fields that an asset's rows lack, or close the alert; returns field -> reason.

    ``request`` is the client's name for the kind of request, such as ``insights/ad/day`` or
    ``adset``; ``dropped`` are the clients' ``dropped_fields``. What only one broken object lacks
    is left out: it is that object's dead letter, not the asset's.
    """
    refused = {
        field: redact(reason)
        for of_client in dropped
        for key, fields in of_client.items()
        if key == request or key.startswith(f"{request}/act_")
        for field, reason in fields.items()
    }
    subject = f"asset raw/{asset}"
    alert = Alert(
        kind=KIND,
        subject=subject,
        severity=Severity.WARNING,
        stage=", ".join(sorted(refused)),
        message="Meta refuses "
        + "; ".join(f"{field} ({reason})" for field, reason in sorted(refused.items()))
        + ". New rows are landed without; what landed rows have of it stays",
        what_to_do="if an account lacks a permission, give it; if Meta no longer has the field, "
        "nothing is lost but the column. Other fields are not affected",
    )
    update_alerts(database, subject, [alert] if refused else [], [KIND])
    return refused
