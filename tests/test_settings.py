"""Settings: the environment's names, and errors that name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from meta_ads_pipeline.attribution import LIVE_WINDOWS
from meta_ads_pipeline.settings import PROJECT_ROOT, Settings, unknown_variables


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("META_ACCESS_TOKEN", "META_GRAPH_URL", "META_AD_ACCOUNT_IDS"):
        monkeypatch.delenv(name, raising=False)


def settings() -> Settings:
    return Settings(_env_file=None)


def test_without_credentials_the_simulator_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().uses_simulator
    monkeypatch.setenv("META_ACCESS_TOKEN", "t")
    assert not settings().uses_simulator


def test_an_empty_token_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", "  ")
    assert settings().access_token is None


def test_account_ids_come_with_or_without_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_AD_ACCOUNT_IDS", "act_1, 22 ,")
    assert settings().ad_account_ids == ("1", "22")


def test_attribution_windows_are_all_that_live_unless_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings().attribution_windows == LIVE_WINDOWS
    monkeypatch.setenv("META_ADS_ATTRIBUTION_WINDOWS", " 1d_view, 7d_click,")
    assert settings().attribution_windows == ("7d_click", "1d_view")
    monkeypatch.setenv("META_ADS_ATTRIBUTION_WINDOWS", "none")
    assert settings().attribution_windows == ()


@pytest.mark.parametrize("name", [str(f.alias) for f in Settings.model_fields.values()])
def test_a_blank_setting_means_its_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name, raising=False)
    default = settings()
    monkeypatch.setenv(name, "  ")
    assert settings() == default


def test_a_relative_home_is_one_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("META_ADS_HOME", "data/here")
    before = settings().home
    monkeypatch.chdir(tmp_path)
    assert settings().home == before == PROJECT_ROOT / "data" / "here"


def test_mistyped_names_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("META_ACCES_TOKEN=x\nMETA_ADS_HOME=y\nMETA_BUDGET=3\n")
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    found = unknown_variables(
        {
            "META_ADS_CALL_PER_HOUR": "1",
            "META_ADS_DBT_HOST": "set by us",
            "META_SDK_OF_ANOTHER_PROGRAM": "2",
            "AWS_CA_BUNDLE": "of another program",
            "PATH": "/bin",
        }
    )
    assert found == [
        "META_ACCES_TOKEN in .env is no setting: did you mean META_ACCESS_TOKEN?",
        "META_BUDGET in .env is no setting",
        "META_ADS_CALL_PER_HOUR in the environment is no setting: "
        "did you mean META_ADS_CALLS_PER_HOUR?",
    ]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("META_AD_ACCOUNT_IDS", "abc", "not an ad account id"),
        ("META_GRAPH_URL", "graph.facebook.com", "http"),
        ("META_API_VERSION", "26", "pattern"),
        ("META_ADS_HISTORY_START", "yesterday", "pattern"),
        ("META_ADS_ATTRIBUTION_WINDOWS", "7d_click,7d_view", "no data since January 2026"),
        ("META_ADS_ATTRIBUTION_WINDOWS", "weekly", "choose from 1d_click, 7d_click"),
    ],
)
def test_a_bad_value_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=says) as caught:
        settings()
    assert name in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", "very-secret")
    monkeypatch.setenv("META_ADS_ENCRYPTION_KEYS", "key-one,key-two")
    found = settings()
    assert len(found.encryption_keys) == 2
    for secret in ("very-secret", "key-one", "key-two"):
        assert secret not in repr(found)
