"""What ``deploy/`` says about metrics is true: each metric is served, each rule fires."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.small_marts import fill

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
RULE_TESTS = sorted(RULES.parent.glob("rules_*test.yml"))


def alert_names() -> set[str]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"] for rule in group["rules"]}


def test_every_metric_that_is_named_is_served(service, database):
    fill(database)
    families = text_string_to_metric_families(service.get("/metrics").text)
    served = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    for file in (RULES, *RULE_TESTS, DEPLOY / "grafana" / "meta_ads.json"):
        named = set(re.findall(r"\bmeta_ads_[a-z_]+", file.read_text())) - {"meta_ads_pipeline"}
        assert named, file
        assert named <= served, file


def test_every_rule_has_a_case_that_fires_and_one_that_does_not():
    cases = [
        case
        for file in RULE_TESTS
        for group in yaml.safe_load(file.read_text())["tests"]
        for case in group["alert_rule_test"]
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alert_names()
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alert_names()


@pytest.fixture
def promtool():
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")

    def run(*arguments: str, folder: Path = RULES.parent) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )

    return run


def test_prometheus_takes_the_rules_and_the_configuration(promtool):
    for kind, file in (("rules", "rules.yml"), ("config", "prometheus.yml")):
        checked = promtool("check", kind, file)
        assert checked.returncode == 0, checked.stderr


def test_the_rules_fire_on_what_they_are_for_and_on_nothing_else(promtool):
    tested = promtool("test", "rules", *(file.name for file in RULE_TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_rule_that_never_fires_is_noticed(promtool, tmp_path):
    for file in (RULES, *RULE_TESTS):
        shutil.copy(file, tmp_path)
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] += " and vector(1) == 0"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    tested = promtool("test", "rules", *(file.name for file in RULE_TESTS), folder=tmp_path)
    assert tested.returncode != 0
    assert {name for name in alert_names() if name in tested.stdout + tested.stderr} == (
        alert_names()
    )


def test_the_dashboard_s_panels_do_not_cover_each_other():
    dashboard = json.loads((DEPLOY / "grafana" / "meta_ads.json").read_text())
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"])
