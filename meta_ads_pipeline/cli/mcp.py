"""``meta-ads mcp``: the MCP server on standard input and output, started by an assistant."""

from __future__ import annotations

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.api_keys import READ, usable_key
from meta_ads_pipeline.errors import CredentialsError

app = options.command_app()


class ApiKeyRefusedError(CredentialsError):
    """META_ADS_API_KEY is not set, or is no key that may read."""


@app.command()
def mcp() -> int:
    """Answer an assistant's questions over standard input and output.

    META_ADS_API_KEY is the key (`meta-ads keys create`); it decides which workspace is seen. The
    HTTP service has the same tools at /mcp.
    """
    from meta_ads_pipeline.serving.access import Caller
    from meta_ads_pipeline.serving.mcp_server import mcp_server

    with running(needs_api=False) as runtime:
        given = runtime.settings.api_key
        text = given.get_secret_value() if given is not None else ""

        def caller(_context: object) -> Caller:
            # At each call: a key that was revoked meanwhile opens nothing more.
            key = usable_key(runtime.database, text)
            if key is None or READ not in key.allowed:
                raise ApiKeyRefusedError(
                    "META_ADS_API_KEY is not a usable key with the scope read: make one with "
                    "`meta-ads keys create NAME`"
                )
            return Caller.of(key)

        caller(None)
        mcp_server(runtime.database, caller).run("stdio")
    return 0
