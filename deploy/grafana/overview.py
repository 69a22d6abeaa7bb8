"""Which panels does one look at first?

`python -m deploy.grafana.overview` writes `dashboards/overview.json`; a test fails when the
committed file differs from what this module builds, or when an expression does not parse. Only
this module needs the dashboard library, which is therefore a development dependency.
"""

from pathlib import Path
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos

DASHBOARD_FILE: Final = Path(__file__).parent / "dashboards" / "overview.json"
_DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH: Final = 12
_HEIGHT: Final = 8


class Series(NamedTuple):
    """One line of a panel: a PromQL expression and its legend."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One picture; `unit` is Grafana's name of it."""

    title: str
    description: str
    unit: str
    series: tuple[Series, ...]


PANELS: Final = (
    Panel(
        "Freshness",
        "From the broker's append of an event to the acknowledged write of the list. "
        "The objective is 99 % within a second.",
        "s",
        tuple(
            Series(
                f"histogram_quantile({quantile}, sum by (le) "
                '(rate(recsys_freshness_seconds_bucket{path="user"}[$__rate_interval])))',
                legend,
            )
            for quantile, legend in ((0.5, "median"), (0.99, "99th percentile"))
        ),
    ),
    Panel(
        "Events",
        "Events consumed a second, by what became of them.",
        "ops",
        (Series("sum by (outcome) (rate(recsys_events_total[$__rate_interval]))", "{{outcome}}"),),
    ),
    Panel(
        "Lag",
        "Records that wait in each partition.",
        "short",
        (
            Series(
                "sum by (topic, partition) (recsys_consumer_lag_records)",
                "{{topic}}-{{partition}}",
            ),
        ),
    ),
    Panel(
        "Where a slice's time goes",
        "Seconds spent in each stage, per second of the clock, over all workers.",
        "s",
        (
            Series(
                "sum by (stage) (rate(recsys_stage_duration_seconds_sum[$__rate_interval]))",
                "{{stage}}",
            ),
        ),
    ),
    Panel(
        "Lists",
        "Lists written a second, by outcome.",
        "ops",
        (
            Series(
                "sum by (outcome) (rate(recsys_recommendations_total[$__rate_interval]))",
                "{{outcome}}",
            ),
        ),
    ),
    Panel(
        "Where recommended items come from",
        "Recommended items a second, by the source that proposed them.",
        "ops",
        (
            Series(
                "sum by (source) (rate(recsys_recommended_items_total[$__rate_interval]))",
                "{{source}}",
            ),
        ),
    ),
    Panel(
        "Normalised entropy of p(click)",
        "Log-loss before learning over the entropy of the base rate: below 1 the model predicts.",
        "none",
        (Series("recsys:ctr_normalised_entropy:ratio_rate5m", "normalised entropy"),),
    ),
    Panel(
        "Calibration of p(click)",
        "Predicted over observed clicks; 1 is perfect.",
        "none",
        (Series("recsys:ctr_calibration:ratio_rate5m", "predicted / observed"),),
    ),
    Panel(
        "Impressions joined with clicks",
        "Closed impressions a second, by how they closed.",
        "ops",
        (
            Series(
                "sum by (outcome) (rate(recsys_label_join_total[$__rate_interval]))",
                "{{outcome}}",
            ),
        ),
    ),
    Panel(
        "What exploring costs",
        "Clicks per shown item on ranked lists and on drawn ones; and what is lost of all of them.",
        "percentunit",
        (
            Series(
                "sum by (order) (rate(recsys_exploration_clicks_total[$__rate_interval])) "
                "/ (sum by (order) (rate(recsys_exploration_shown_total[$__rate_interval])) > 0)",
                "{{order}}",
            ),
            Series("recsys:exploration_cost:ratio_rate1h", "lost, over an hour"),
        ),
    ),
    Panel(
        "Age of the models of bundles in use",
        "Since each model that a worker asks was trained.",
        "s",
        (Series("time() - recsys_model_trained_timestamp_seconds", "{{kind}} {{instance}}"),),
    ),
)


def build_json() -> str:
    """Return the dashboard as Grafana imports it, ending in a newline."""
    builder = (
        dashboard.Dashboard("Headrace: overview")
        .uid("headrace-overview")
        .tags(["headrace"])
        .refresh("10s")
        .time("now-15m", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    )
    for index, panel in enumerate(PANELS):
        builder = builder.with_panel(_panel(index, panel))
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return encoder.encode(builder.build()) + "\n"


def _panel(index: int, panel: Panel) -> timeseries.Panel:
    """Return the panel's builder, in a grid of two columns."""
    row, column = divmod(index, 2)
    built = (
        timeseries.Panel()
        .id(index + 1)
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(_DATASOURCE)
        .legend(_legend())
        .grid_pos(GridPos(x=column * _WIDTH, y=row * _HEIGHT, w=_WIDTH, h=_HEIGHT))
    )
    for number, series in enumerate(panel.series):
        query = prometheus.Dataquery().expr(series.expression).legend_format(series.legend)
        built = built.with_target(query.ref_id(chr(ord("A") + number)))
    return built


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )


if __name__ == "__main__":
    DASHBOARD_FILE.write_text(build_json(), encoding="utf-8")
