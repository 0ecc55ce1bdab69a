"""`meta-ads query --timezone`, `meta-ads workspace timezone` and `meta-ads status --watch`."""

from __future__ import annotations

import json

import pytest

from meta_ads_pipeline.cli import status
from tests.cli.conftest import MetaAds

SHOWN = "select control.chosen_timezone() as timezone"


def test_a_query_has_its_own_timezone(meta_ads: MetaAds) -> None:
    for given, shown in ((["--timezone", "Asia/Kolkata"], "Asia/Kolkata"), ([], None)):
        code, said = meta_ads("query", "--json", SHOWN, *given)
        assert code == 0, said
        assert json.loads(said) == [{"timezone": shown}]


def test_a_query_in_an_unknown_timezone_is_wrong_use(meta_ads: MetaAds) -> None:
    code, said = meta_ads("query", SHOWN, "--timezone", "Mars/Olympus")
    assert code == 2
    assert "'Mars/Olympus' is not an IANA timezone" in said
    assert "Europe/Berlin" in said


def test_a_workspace_s_timezone_is_set_shown_and_unset(meta_ads: MetaAds) -> None:
    def shown() -> dict[str, str]:
        code, said = meta_ads("workspace", "timezone", "--json")
        assert code == 0, said
        found: dict[str, str] = json.loads(said)
        return found

    assert shown() == {"default": "account"}
    code, said = meta_ads("workspace", "timezone", "default", "Europe/Berlin")
    assert (code, "default: Europe/Berlin" in said) == (0, True)
    assert shown() == {"default": "Europe/Berlin"}
    for wrong in ("europe/berlin", "UTC+2"):
        code, said = meta_ads("workspace", "timezone", "default", wrong)
        assert code == 2
        assert f"{wrong!r} is not an IANA timezone" in said
    assert shown() == {"default": "Europe/Berlin"}
    code, said = meta_ads("workspace", "timezone", "default", "account")
    assert (code, "each account has its own" in said) == (0, True)
    assert shown() == {"default": "account"}


def test_an_unknown_workspace_names_the_known_ones(meta_ads: MetaAds) -> None:
    for arguments in (["elsewhere"], ["elsewhere", "UTC"]):
        code, said = meta_ads("workspace", "timezone", *arguments)
        assert code == 2
        assert "there is no workspace 'elsewhere'" in said
        assert "default" in said


def test_status_is_shown_anew_until_it_is_interrupted(
    meta_ads: MetaAds, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", wait)
    code, said = meta_ads("status", "--watch", "--every", "7", "--json")
    assert (code, waited) == (0, [7, 7])
    first, second = said.splitlines()
    assert json.loads(first)["needs_a_person"] == json.loads(second)["needs_a_person"] == []
    waited.clear()
    code, said = meta_ads("status", "--watch")
    assert (code, said.count("Nothing needs a person.")) == (0, 2)
