"""Which settings does each part of the stream have, and what are their defaults?

Each part reads one section, a small frozen dataclass; what belongs to `featurestore` and `models`
is configured by those packages' own configs. `streams.config` composes and loads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from featurestore.store import MAX_LISTS_PER_COMMIT
from models.checks import require
from streams.config_reader import Secret
from streams.heads import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsConfig:
    """Names of the Kafka topics; the design's page on topics says what each carries."""

    events: str = "events"
    items: str = "items"
    examples: str = "examples"
    models: str = "models"
    dead_letters: str = "events.dead-letters"

    def __post_init__(self) -> None:
        """Refuse two topics of one name.

        Raises:
            ValueError: Naming the names.
        """
        names = [self.events, self.items, self.examples, self.models, self.dead_letters]
        if len(set(names)) < len(names) or not all(names):
            raise ValueError(f"five different topic names (found {', '.join(names)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """Where Kafka is.

    Attributes:
        brokers: Addresses, `host:port`.
        topics: The topics' names.
        produce_timeout_s: Time after which an unacknowledged record ends the process.
    """

    brokers: tuple[str, ...] = ("localhost:9092",)
    topics: TopicsConfig = field(default_factory=TopicsConfig)
    produce_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfig:
    """Where the store is.

    Attributes:
        url: `redis://[:password@]host:port/db`, or `rediss://` for TLS.
        timeout_s: Deadline of one command.
        retry_s: Longest pause between two attempts while the store is away.
    """

    url: Secret = field(default_factory=lambda: Secret("redis://localhost:6379/0"))
    timeout_s: float = 5.0
    retry_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The millisecond clock.

    Attributes:
        group: Consumer group; its members share the partitions.
        metrics_port: Port of `/metrics`.
        chunk_users: Most users whose lists are written in one atomic step.
        chunk_events: Most events folded in one step.
        catch_up_chunk_events: The same while catching up: larger steps cost less an event, and
            nobody waits for one.
        slice_events: Most events taken over from one fetch.
        catch_up_events: A partition that lies further behind is folded without building lists;
            each user gets one list when it has caught up.
        cached_users: User states kept in memory, over all partitions; a user with 200
            actions takes about 2 KB.
        stall_timeout_s: Time without progress, while events wait, that ends the process.
    """

    group: str = "headrace-worker"
    metrics_port: int = 9101
    chunk_users: int = 64
    chunk_events: int = 512
    catch_up_chunk_events: int = 4000
    slice_events: int = 2000
    catch_up_events: int = 5000
    cached_users: int = 100_000
    stall_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse chunks that the store would refuse.

        Raises:
            ValueError: Naming every bad value.
        """
        require(
            (1 <= self.chunk_users <= MAX_LISTS_PER_COMMIT, "chunk_users from 1 to 64"),
            (1 <= self.chunk_events <= 4096, "chunk_events from 1 to 4096"),
            (1 <= self.catch_up_chunk_events <= 4096, "catch_up_chunk_events from 1 to 4096"),
            (1 <= self.slice_events <= 10_000, "slice_events from 1 to 10000"),
            (self.catch_up_events >= 0, "catch_up_events not below 0"),
            (self.cached_users >= 0, "cached_users not below 0"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerConfig:
    """The seconds clock.

    Attributes:
        group: Consumer group of the one learner.
        metrics_port: Port of `/metrics`.
        delta_interval_s: How often changed values go to the workers.
        base_interval_s: How often everything is saved, as the point to restart from.
        shared_interval_s: How often `rec:popular` and what else is nobody's own is written.
        popular_categories: The most popular categories, which have a `rec:popular:<category>`.
        similar_items: Of the items that something new has followed so many have `similar:<item_id>`
            written each time.
        stall_timeout_s: Time without progress, while records wait, that ends the process.
    """

    group: str = "headrace-learner"
    metrics_port: int = 9102
    delta_interval_s: float = 1.0
    base_interval_s: float = 60.0
    shared_interval_s: float = 5.0
    popular_categories: int = 200
    similar_items: int = 100
    stall_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what cannot be written.

        Raises:
            ValueError: Naming every bad value.
        """
        require(
            (self.shared_interval_s > 0, "shared_interval_s above 0"),
            (self.popular_categories >= 0, "popular_categories not below 0"),
            (self.similar_items >= 0, "similar_items not below 0"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StateConfig:
    """What is remembered of a user; `featurestore.state.FoldRules` says what each means.

    Changing any of these makes the states another fold: they must be built anew from the log.
    """

    max_actions: int = 200
    max_seen: int = 4096
    max_hidden: int = 256
    max_shown: int = 20
    horizon_days: int = 90
    idle_minutes: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesConfig:
    """What p(click) sees beside the user's own history.

    Attributes:
        numeric: Numbers that shown items or the catalogue's attributes carry.
        context: Context values of events.
        context_buckets: Into so many the values of one name are hashed.
        position_context: Context values on which it depends how far down users look.
        sources: Recall sources whose scores are seen.
    """

    numeric: tuple[str, ...] = ("price",)
    context: tuple[str, ...] = ("device", "platform")
    context_buckets: int = 64
    position_context: tuple[str, ...] = ("device",)
    sources: tuple[str, ...] = ("trending", "covisitation", "fresh", "transformer")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionConfig:
    """Which action answers which slate, in the event time of the slate's source partition.

    Attributes:
        window_ms: How long a shown slate waits for a label action.
        after_click_ms: How long it stays open after its first one, for more of them.
        max_open_slates: Most slates waiting, over all partitions; the oldest goes unlearned.
        max_open_slates_per_partition: The same for one partition.
        max_clock_jump_ms: A partition's clock moves further than this only when
            `clock_confirming_users` different users say so.
        clock_confirming_users: See `max_clock_jump_ms`.
        names_all_lists: Whether the application sends the `list_id` of each of our lists that it
            shows: then actions on what has none of these tell two bundles apart, too.
    """

    window_ms: int = 30 * 60 * 1000
    after_click_ms: int = 0
    max_open_slates: int = 200_000
    max_open_slates_per_partition: int = 50_000
    max_clock_jump_ms: int = 60 * 60 * 1000
    clock_confirming_users: int = 3
    names_all_lists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionConfig:
    """What one user may add to what everybody's lists depend on, so that no robot moves them.

    Attributes:
        max_actions: Positive actions of a user on one item that count within the window; a click
            beyond them teaches nothing, nor does the slate that it answers.
        max_shown: Impressions of an item to one user that its click rate counts, as far as the
            user's last shown items tell.
        window_ms: Of `max_actions`, before the action, in the user's own time.
    """

    max_actions: int = 3
    max_shown: int = 10
    window_ms: int = 3_600_000

    def __post_init__(self) -> None:
        """Refuse what would let nothing count.

        Raises:
            ValueError: Naming every bad value.
        """
        names = ("max_actions", "max_shown", "window_ms")
        require(*((getattr(self, name) >= 1, f"{name} above 0") for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingConfig:
    """How candidates become a list.

    Attributes:
        list_size: Items of a list.
        head: What orders them: the re-ranker, which weighs all sources and the heads of
            `online.heads`; one of those heads alone; or a ranker of `headrace train`, by its
            announced bundle. While there is none, the re-ranker orders, and lists say so.
        category_cap: Most items of one category in a list, as far as the others fill it; 0 for no
            cap.
        skip_acted: Whether items that the user has acted upon are left out.
        max_shown: An item that was shown this often, as far as the user's last shown items tell,
            rests; 0 for never.
        num_new: Places at the end of a list for items of the catalogue that nobody has been shown
            yet, so that they get a chance.
        slate_sample_rate: Share of lists whose candidates are logged for the re-ranker.
    """

    list_size: int = 20
    head: Head = "reranker"
    category_cap: int = 0
    skip_acted: bool = True
    max_shown: int = 0
    num_new: int = 1
    slate_sample_rate: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what cannot be a list.

        Raises:
            ValueError: Naming every bad value.
        """
        require(
            (1 <= self.list_size <= 100, "list_size from 1 to 100"),
            (0 <= self.num_new <= self.list_size, "num_new from 0 to list_size"),
            (0 <= self.slate_sample_rate <= 1, "slate_sample_rate from 0 to 1"),
            (self.category_cap >= 0, "category_cap not below 0"),
            (self.max_shown >= 0, "max_shown not below 0"),
        )
