"""Which index of the click head means what: the templates of its features, laid end to end.

A template is a one-hot feature with a number of bins; an index is a template's offset plus a bin.
`featurestore.features` puts candidates into the bins.
"""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.bins import NUM_PERCENTILES, Ints
from featurestore.standing import NUM_ACTIONS, NUM_TOUCHES

LAYOUT_VERSION: Final = 2
"""Raised whenever the same input would get other indices from the same configuration."""

CLASSES: Final = 4
POSITIONS: Final = 31
OFFSETS: Final = 28
SCORES: Final = 33
RATES: Final = 25
VOLUMES: Final = 6
AGES: Final = 19
DWELLS: Final = 12
RANKS: Final = 31
RATIOS: Final = 20
SITUATIONS: Final = 2 * NUM_ACTIONS * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig:
    """Which features of a deployment's own are used.

    Attributes:
        numeric: names of numbers that a shown item or a catalogue item carries.
        context: names of context values.
        context_buckets: into so many the values of one context name are hashed.
        position_context: names of context values on which it depends how far down users look.
        click_codes: codes of the actions that p(click) predicts.
    """

    numeric: tuple[str, ...] = ("price",)
    context: tuple[str, ...] = ("device", "platform")
    context_buckets: int = 64
    position_context: tuple[str, ...] = ("device",)
    click_codes: tuple[int, ...] = (1,)


class _Template(NamedTuple):
    name: str
    num_bins: int


@dataclass(frozen=True, kw_only=True)
class FeatureLayout:
    """Which index means what: the templates of a configuration, laid end to end.

    Attributes:
        config: what the deployment uses.
        source_names: of the recall sources, in the order of `SlateInput.source_scores`.
    """

    config: FeatureConfig = field(default_factory=FeatureConfig)
    source_names: tuple[str, ...] = ()

    @cached_property
    def relevance_templates(self) -> tuple[_Template, ...]:
        """Templates of the columns of `relevance`."""
        named = [
            ("seconds_back*class", 15 * CLASSES),
            ("steps_back*action", 8 * NUM_ACTIONS),
            ("interactions", 8),
            ("item_clicks*class*session_clicks", 3 * 3 * 8),
            ("slate*class", SITUATIONS * CLASSES),
            ("session_step*class", 9 * CLASSES),
            ("before_session", 5),
            ("shown", 8),
            ("rate*volume", (RATES + 1) * VOLUMES),
            ("age", AGES + 1),
            ("category_share", 7),
            ("touches*last_action", NUM_TOUCHES * NUM_ACTIONS),
            ("dwell*class", DWELLS * CLASSES),
        ]
        for name in self.config.numeric:
            named += [
                (f"{name}.percentile*last_action", (NUM_PERCENTILES + 1) * NUM_ACTIONS),
                (f"{name}.rank", RANKS + 1),
                (f"{name}.to_interacted*class", RATIOS * 2),
                (f"{name}.to_clicked*class", RATIOS * 2),
            ]
        named += [
            (f"{name}*class", self.config.context_buckets * CLASSES) for name in self.config.context
        ]
        for name in self.source_names:
            named += [
                (f"source.{name}.score", SCORES + 1),
                (f"source.{name}.percentile", NUM_PERCENTILES + 1),
            ]
        return tuple(_Template(name, num_bins) for name, num_bins in named)

    @cached_property
    def examination_templates(self) -> tuple[_Template, ...]:
        """Templates of the columns of `examination`."""
        named = [
            ("position", POSITIONS),
            ("position*class", POSITIONS * CLASSES),
            ("position*slate", POSITIONS * 2 * NUM_ACTIONS),
            ("position*last_touched", POSITIONS * POSITIONS),
            ("offset", OFFSETS),
            ("offset_to_touched*clicks", OFFSETS * 2 * 3),
            ("offset_to_lowest", OFFSETS),
            ("offset_to_clicked", OFFSETS),
        ]
        named += [
            (f"{name}.to_lowest_above*class", RATIOS * CLASSES) for name in self.config.numeric
        ]
        named += [
            (f"position*{name}", POSITIONS * self.config.context_buckets)
            for name in self.config.position_context
        ]
        return tuple(_Template(name, num_bins) for name, num_bins in named)

    @property
    def relevance_width(self) -> int:
        """How many columns `relevance` has."""
        return len(self.relevance_templates)

    @property
    def examination_width(self) -> int:
        """How many columns `examination` has where positions are known."""
        return len(self.examination_templates)

    @cached_property
    def offsets(self) -> Ints:
        """The first index of each template, relevance first; one entry more for the end."""
        sizes = [t.num_bins for t in (*self.relevance_templates, *self.examination_templates)]
        return np.array([0, *accumulate(sizes)], np.int64)

    @cached_property
    def scales(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], Ints]:
        """Step, lowest value and number of bins of click rate, volume, age and each source."""
        num_sources = len(self.source_names)
        step = np.array([0.4, 2.0, 1.0] + [0.5] * num_sources)
        low = np.array([-8.0, 0.0, 0.0] + [-12.0] * num_sources)
        num_bins = np.array([RATES, VOLUMES, AGES] + [SCORES] * num_sources)
        return step, low, num_bins

    @cached_property
    def is_click(self) -> npt.NDArray[np.bool_]:
        """bool[256]: which action codes p(click) predicts."""
        is_click = np.zeros(256, np.bool_)
        is_click[list(self.config.click_codes)] = True
        return is_click

    @property
    def num_weights(self) -> int:
        """How many weights the indices refer to."""
        return int(self.offsets[-1])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of relevance, then of examination."""
        return tuple(t.name for t in (*self.relevance_templates, *self.examination_templates))

    @property
    def digest(self) -> str:
        """8 hex digits that change whenever an index might mean something else."""
        meaning = repr((LAYOUT_VERSION, self.config, self.source_names, self.offsets.tolist()))
        return blake2b(meaning.encode(), digest_size=4).hexdigest()
