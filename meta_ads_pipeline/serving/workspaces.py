"""``/workspaces/{workspace_id}``: what a key opens."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from meta_ads_pipeline.control.api_keys import READ
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.row_security import in_workspace
from meta_ads_pipeline.serving.access import ANSWERS, Access, Caller


class AdAccount(BaseModel):
    """An ad account. ``timezone`` is IANA, ``currency`` ISO 4217; ``is_active``: it is synced."""

    account_id: str
    name: str | None
    currency: str
    timezone: str
    is_active: bool


class Workspace(BaseModel):
    """A workspace as one key sees it. ``scopes``: what the key may be used for."""

    workspace_id: str
    name: str
    member: str
    scopes: list[str]
    accounts: list[AdAccount]


def workspaces_router(database: Database, access: Access) -> APIRouter:
    """The routes of a workspace itself."""
    router = APIRouter(tags=["workspace"])

    @router.get("/workspaces/{workspace_id}", responses=ANSWERS)
    def workspace(caller: Annotated[Caller, Depends(access.require(READ))]) -> Workspace:
        """The workspace, its ad accounts, and what this key may do."""

        def accounts(connection: Connection) -> list[AdAccount]:
            rows = connection.execute(
                "select account_id, name, currency, timezone, is_active"
                " from control.ad_accounts where workspace_id = %s order by name, account_id",
                [caller.workspace_id],
            )
            return [AdAccount(**row) for row in rows]

        return Workspace(
            workspace_id=caller.workspace_id,
            name=caller.workspace,
            member=caller.member,
            scopes=sorted(caller.scopes),
            accounts=in_workspace(database, caller.workspace_id, accounts),
        )

    return router
