"""What is wrong with a setting of alerts."""

from __future__ import annotations

from meta_ads_pipeline.errors import ConfigurationError


class AlertSettingError(ConfigurationError):
    """``META_ADS_ALERT_URLS`` or ``META_ADS_ALERT_QUIET_HOURS`` cannot be used; names the part."""
