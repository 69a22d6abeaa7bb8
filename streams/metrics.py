"""Which numbers does each role export?

The catalogue, by area. A role serves the areas that it moves, on its own registry. Quality is
exported as additive counters, so that it sums over workers and windows. The golden file beside the
tests lists every name, type and label.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry

from streams.metric_families import Families, MetricsServer, new_registry, serve_metrics

__all__ = [
    "LearnerMetrics",
    "MetricsServer",
    "TrainerMetrics",
    "WorkerMetrics",
    "serve_metrics",
]

# 30 ms and 200 ms are the bars of freshness at the desk, 1 s is the service's objective.
FRESHNESS_BUCKETS: Final = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
# 25 ms is the objective of a read.
_COMMAND_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_STAGE_BUCKETS: Final = (
    0.0001,
    0.0002,
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
)
_COUNT_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 4000.0)
_BYTE_BUCKETS: Final = (128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0)
_EVENT_LAG_BUCKETS: Final = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)
_LABEL_DELAY_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_PROBABILITY_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
_RUN_BUCKETS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class IngestMetrics:
    """What arrives, and what of it is no event."""

    def __init__(self, make: Families) -> None:
        self.events = make.counters(
            "events_total", "Events by outcome", "topic", "event_type", "outcome"
        )
        self.lost_to_retention = make.counters(
            "events_lost_to_retention_total",
            "Events that retention had removed before they were read",
            "topic",
            "partition",
        )
        self.event_bytes = make.histogram("event_bytes", "Size of a record's value", _BYTE_BUCKETS)
        self.dead_letters = make.counters(
            "dead_letters_total", "Records refused, by reason", "topic", "reason"
        )
        self.redriven = make.counter("redriven_total", "Events that came back from dead letters")
        self.event_time_lag = make.histogram(
            "event_time_lag_seconds", "Broker's append time minus event time", _EVENT_LAG_BUCKETS
        )
        self.clock_skew = make.counter(
            "clock_skew_total", "Events whose time is later than the broker's"
        )


class ConsumerMetrics:
    """How far the consumer is, and whether it moves."""

    def __init__(self, make: Families) -> None:
        self.lag = make.gauges(
            "consumer_lag_records", "Records appended and not processed", "topic", "partition"
        )
        self.last_progress = make.gauge(
            "consumer_last_progress_timestamp_seconds", "When a slice was last finished"
        )
        self.partitions_assigned = make.gauge("partitions_assigned", "Partitions assigned now")
        self.rebalances = make.counter("rebalances_total", "Assignments received")
        self.commit_duration = make.histogram(
            "commit_duration_seconds", "Time of one atomic step", _COMMAND_BUCKETS
        )
        self.checkpoint_rejections = make.counter(
            "checkpoint_rejections_total", "Steps refused because another owner was here"
        )


class ProcessingMetrics:
    """Where a slice's time goes."""

    def __init__(self, make: Families) -> None:
        self.slice_events = make.histogram("slice_events", "Events of one slice", _COUNT_BUCKETS)
        self.stage_duration = make.histograms(
            "stage_duration_seconds",
            "Time of one stage of a chunk",
            "stage",
            buckets=_STAGE_BUCKETS,
        )
        self.event_loop_delay = make.histogram(
            "event_loop_delay_seconds", "Lateness of a timer of the event loop", _STAGE_BUCKETS
        )
        self.agent_errors = make.counters(
            "agent_errors_total", "Faults that were retried or ended the process", "agent", "error"
        )


class HeldMetrics:
    """What a worker keeps in memory."""

    def __init__(self, make: Families) -> None:
        self.owed_lists = make.gauge(
            "owed_lists", "Users who wait for a list since the worker caught up"
        )
        self.cached_users = make.gauge("cached_users", "User states kept decoded in memory")


class FreshnessMetrics:
    """The headline: from the broker's append time to what a reader can see."""

    def __init__(self, make: Families) -> None:
        self.freshness = make.histograms(
            "freshness_seconds",
            "Broker's append time until the write to Redis is acknowledged",
            "path",
            buckets=FRESHNESS_BUCKETS,
        )


class RecommendationMetrics:
    """What is recommended, and from where it came."""

    def __init__(self, make: Families) -> None:
        self.recommendations = make.counters(
            "recommendations_total", "Lists computed, by outcome", "outcome"
        )
        self.candidates = make.counters("candidates_total", "Candidates recalled", "source")
        self.items = make.counters("recommended_items_total", "Items recommended", "source")
        self.clicks = make.counters(
            "recommendation_clicks_total", "Label actions on recommended items", "source"
        )
        self.places = make.counters(
            "recommended_places_total", "Places of lists, by whether the list was drawn", "order"
        )
        self.coverage = make.gauge(
            "catalog_coverage_ratio", "Share of available items in the lists of the last minutes"
        )
        self.diversity = make.gauge(
            "intra_list_diversity_ratio", "Mean share of item pairs of different categories"
        )
        self.novelty = make.gauge(
            "novelty_bits", "Mean self-information of recommended items by popularity"
        )


class RedisMetrics:
    """How the store answers."""

    def __init__(self, make: Families) -> None:
        self.command_duration = make.histograms(
            "redis_command_duration_seconds",
            "Time of one command",
            "command",
            buckets=_COMMAND_BUCKETS,
        )
        self.errors = make.counter("redis_errors_total", "Commands that failed")


class ModelMetrics:
    """Which models are in use."""

    def __init__(self, make: Families) -> None:
        self.info = make.gauges("model_info", "The model in use", "kind", "version", "digest")
        self.trained = make.gauges(
            "model_trained_timestamp_seconds", "When the model's training ended", "kind"
        )
        self.loaded = make.gauges(
            "model_loaded_timestamp_seconds", "When this process took the model up", "kind"
        )
        self.eval_score = make.gauges(
            "model_eval_score", "The gate's score of the model in use", "kind", "metric"
        )
        self.swaps = make.counters("model_swaps_total", "Models taken up", "kind")
        self.refusals = make.counters(
            "model_refusals_total", "Bundles, bases or deltas refused as damaged or foreign", "kind"
        )
        self.rollbacks = make.counters("model_rollbacks_total", "Models rolled back", "reason")
        self.gate_decisions = make.counters(
            "model_gate_decisions_total", "What the gate decided", "decision"
        )


class LiveGateMetrics:
    """How the bundle in use stands against the one that challenges it."""

    def __init__(self, make: Families) -> None:
        self.compared = make.counter(
            "model_compared_actions_total",
            "Live actions that tell the bundle in use from the one that challenges it",
        )
        self.score = make.gauges(
            "model_live_score",
            "Mean reciprocal rank on live actions, in lists of the bundle in use and of the other",
            "kind",
            "role",
        )
        self.log_score = make.gauges(
            "model_live_log_score",
            "Mean log score of live actions in the lists of the bundle in use and of the other",
            "kind",
            "role",
        )
        self.own_score = make.gauges(
            "model_live_own_score",
            "Mean reciprocal rank on live actions by what the two bundles themselves scored",
            "kind",
            "role",
        )


class OnlineMetrics:
    """The worker's replica of the online models."""

    def __init__(self, make: Families) -> None:
        self.replica_offset = make.gauge(
            "replica_offset", "Offset of examples that the replica stands for"
        )
        self.deltas = make.counters("replica_deltas_total", "Deltas read, by outcome", "outcome")


class ClickMetrics:
    """p(click), always predicted before it is learned."""

    def __init__(self, make: Families) -> None:
        self.predictions = make.counter("ctr_predictions_total", "Shown items scored and closed")
        self.predicted_clicks = make.counter("ctr_predicted_clicks_total", "Sum of p(click)")
        self.observed_clicks = make.counter("ctr_observed_clicks_total", "Shown items clicked")
        self.logloss = make.counter("ctr_logloss_nats_total", "Sum of log losses")
        self.squared_error = make.counter("ctr_squared_error_total", "Sum of (p - y)²")
        self.probability = make.histogram(
            "ctr_predicted_probability", "p(click) of shown items", _PROBABILITY_BUCKETS
        )
        self.bin_predictions = make.counters(
            "ctr_calibration_bin_predictions_total", "Sum of p(click) by bin of p(click)", "bin"
        )
        self.bin_clicks = make.counters(
            "ctr_calibration_bin_clicks_total", "Clicks by bin of p(click)", "bin"
        )
        self.window_auc = make.gauge("ctr_window_auc_ratio", "AUC over the last closed slates")


class ExplorationMetrics:
    """What exploring costs: clicks on drawn lists against those on ranked ones."""

    def __init__(self, make: Families) -> None:
        self.shown = make.counters(
            "exploration_shown_total", "Shown items of users' lists, closed", "order"
        )
        self.clicks = make.counters("exploration_clicks_total", "Of these the clicked", "order")


class JoinMetrics:
    """How impressions and actions find each other."""

    def __init__(self, make: Families) -> None:
        self.joins = make.counters(
            "label_join_total", "Slates and label actions, by fate", "outcome"
        )
        self.delay = make.histogram(
            "label_delay_seconds", "Event time from impression to click", _LABEL_DELAY_BUCKETS
        )
        self.open_slates = make.gauge("label_join_open_slates", "Slates that wait for a click")


class TrainingMetrics:
    """What the trainer does."""

    def __init__(self, make: Families) -> None:
        self.runs = make.counters("trainer_runs_total", "Trainings by outcome", "outcome")
        self.run_duration = make.histograms(
            "trainer_run_duration_seconds",
            "Time of a training's phase",
            "phase",
            buckets=_RUN_BUCKETS,
        )
        self.sequences = make.counter("trainer_sequences_total", "Sequences trained on")
        self.loss = make.gauge("trainer_loss_nats", "Mean loss of the last epoch")
        self.last_success = make.gauge(
            "trainer_last_success_timestamp_seconds", "When a training last ended well"
        )


class WorkerMetrics:
    """All that a worker serves."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or new_registry()
        make = Families(self.registry)
        self.ingest = IngestMetrics(make)
        self.consumer = ConsumerMetrics(make)
        self.processing = ProcessingMetrics(make)
        self.freshness = FreshnessMetrics(make)
        self.recommendations = RecommendationMetrics(make)
        self.redis = RedisMetrics(make)
        self.models = ModelMetrics(make)
        self.online = OnlineMetrics(make)
        self.held = HeldMetrics(make)


class LearnerMetrics:
    """All that the learner serves."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or new_registry()
        make = Families(self.registry)
        self.ingest = IngestMetrics(make)
        self.consumer = ConsumerMetrics(make)
        self.processing = ProcessingMetrics(make)
        self.freshness = FreshnessMetrics(make)
        self.redis = RedisMetrics(make)
        self.models = ModelMetrics(make)
        self.live_gate = LiveGateMetrics(make)
        self.click = ClickMetrics(make)
        self.exploration = ExplorationMetrics(make)
        self.join = JoinMetrics(make)


class TrainerMetrics:
    """All that the trainer serves."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or new_registry()
        make = Families(self.registry)
        self.consumer = ConsumerMetrics(make)
        self.processing = ProcessingMetrics(make)
        self.freshness = FreshnessMetrics(make)
        self.models = ModelMetrics(make)
        self.training = TrainingMetrics(make)
