"""What ``deploy/`` says about metrics is true: every metric it names is served."""

import json
import re
from pathlib import Path

import pytest

from meta_ads_pipeline.serving.metrics import QUERIES

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVED = {query.name + ("_total" if query.is_counter else "") for query in QUERIES}


@pytest.mark.parametrize("file", ["prometheus/rules.yml", "grafana/meta_ads.json"])
def test_every_metric_that_is_named_is_served(file):
    named = set(re.findall(r"\bmeta_ads_[a-z_]+", (DEPLOY / file).read_text()))
    named -= {"meta_ads_pipeline"}
    assert named
    assert named <= SERVED


def test_the_dashboard_has_a_panel_for_every_subject():
    dashboard = json.loads((DEPLOY / "grafana" / "meta_ads.json").read_text())
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"])
