"""The errors that this package raises on purpose. Each says what failed and what to do.

::

    MetaAdsError                        exit code 1
    ├── ConfigurationError              exit code 2: what was typed or set cannot be used
    │   ├── AdsManagerFileError         verify/export.py
    │   ├── AlertSettingError           alerting/errors.py
    │   ├── ApiKeyError                 control/api_keys.py
    │   ├── BadRequestError             serving/problems.py
    │   ├── RoleNotFoundError           control/row_security.py
    │   ├── SettingsError               settings.py
    │   ├── TimezoneError               control/timezones.py
    │   ├── UnknownMeasureError         semantic/trust.py
    │   ├── WebhookSettingError         cli/webhooks.py
    │   └── WorkspaceNotFoundError      control/timezones.py
    ├── NotFoundError
    │   ├── ApiKeyNotFoundError         control/api_keys.py
    │   ├── ConnectionNotFoundError     credentials/connections.py
    │   ├── ConnectionUnknownError      serving/syncs.py
    │   ├── DeadLetterNotFoundError     control/dead_letters.py
    │   ├── RunNotFoundError            serving/syncs.py
    │   ├── UnknownAccountDayError      semantic/trust.py
    │   └── UnknownAccountError         control/accounts.py
    ├── CredentialsError
    │   ├── ApiKeyRefusedError          cli/mcp.py
    │   ├── AppCredentialsError         credentials/checks.py
    │   ├── ConnectError                cli/connect.py
    │   ├── ConnectionInUseError        credentials/connections.py
    │   ├── MissingCredentialsError     credentials/connections.py
    │   ├── RenewalRefusedError         credentials/renewal.py
    │   └── VaultError                  credentials/vault.py
    ├── ArchiveError                    retention/parquet.py
    ├── BackupError                     control/backup.py
    ├── DagsterAwayError                serving/dagster_client.py
    ├── DagsterRefusedError             serving/dagster_client.py
    ├── DatabaseError                   control/database.py
    │   └── MartsMissingError           control/row_security.py
    ├── EmbeddedPostgresError           control/embedded_postgres.py
    ├── MetaApiError                    meta_api/errors.py
    ├── NotYoursError                   serving/syncs.py
    ├── RunInFlightError                serving/syncs.py
    └── SimulatorError                  cli/runtime.py

Anything else that reaches a user is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar


class MetaAdsError(Exception):
    """The base of all. The message holds no secret, names the fault and says what to do."""

    exit_code: ClassVar[int] = 1
    """What ``meta-ads`` ends with: 1 failed, 2 wrong use."""

    @property
    def lines(self) -> list[str]:
        """What a person is shown, one entry for each problem, without a leading ``error:``."""
        return [str(self)]


class ConfigurationError(MetaAdsError, ValueError):
    """What was typed or set cannot be used."""

    exit_code = 2


class NotFoundError(MetaAdsError, LookupError):
    """Something was named that does not exist; the message lists what does."""


class CredentialsError(MetaAdsError):
    """A token, a key or the app's credentials stand in the way."""
