"""Is the committed dashboard what the code builds, and does it ask for metrics that exist?"""

import json
from itertools import combinations

import promql_parser

from deploy.grafana.overview import DASHBOARD_FILE, PANELS, build_json


def test_the_committed_dashboard_is_what_the_code_builds() -> None:
    assert DASHBOARD_FILE.read_text(encoding="utf-8") == build_json(), (
        "regenerate it: python -m deploy.grafana.overview"
    )


def test_every_expression_parses() -> None:
    for panel in PANELS:
        for series in panel.series:
            promql_parser.parse(series.expression.replace("$__rate_interval", "1m"))


def test_panels_have_distinct_ids_units_descriptions_and_do_not_overlap() -> None:
    panels = json.loads(build_json())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 11
    for panel in panels:
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    for first, second in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (
            first["x"] + first["w"] <= second["x"]
            or second["x"] + second["w"] <= first["x"]
            or first["y"] + first["h"] <= second["y"]
            or second["y"] + second["h"] <= first["y"]
        )
        assert apart
