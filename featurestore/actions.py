"""What an action means: its weight, its effect on the user's state, and whether it is a label."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

MAX_CODE: Final = 255
"""The user state keeps an action's code in one byte."""


class Effect(enum.StrEnum):
    """What an action says of its item: wanted, nothing, or never again."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One kind of action.

    Attributes:
        name: as events carry it.
        code: 1 to 255; written into states and `examples`, so it is never given another meaning.
        weight: how much one such action counts for the counters.
        effect: positive actions feed recall, a negative one hides its item.
        is_label: whether it is the click that p(click) predicts.
    """

    name: str
    code: int
    weight: float
    effect: Effect
    is_label: bool = False


OTHER: Final = ActionSpec(name="other", code=0, weight=0.0, effect=Effect.NEUTRAL)
"""Stands for every name that the table does not know: remembered, learned nothing from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTable:
    """The kinds of action of one deployment, by name and by code.

    >>> table = ActionTable.of(DEFAULT_ACTIONS)
    >>> table.spec("hide").effect, table.spec("no such action").name
    (<Effect.NEGATIVE: 'negative'>, 'other')
    """

    by_name: Mapping[str, ActionSpec]
    by_code: Mapping[int, ActionSpec]
    positive_codes: frozenset[int] = field(default_factory=frozenset)

    @classmethod
    def of(cls, specs: Iterable[ActionSpec]) -> Self:
        """Build the table.

        Raises:
            ValueError: for a name or code that occurs twice or a code outside 1 to 255, all of
                them in one message.
        """
        specs = tuple(specs)
        problems = _problems(specs)
        if problems:
            raise ValueError("; ".join(problems))
        return cls(
            by_name={spec.name: spec for spec in specs},
            by_code={spec.code: spec for spec in (OTHER, *specs)},
            positive_codes=frozenset(spec.code for spec in specs if spec.effect is Effect.POSITIVE),
        )

    def spec(self, name: str) -> ActionSpec:
        """Return the kind called `name`; a name that nobody configured is `OTHER`."""
        return self.by_name.get(name, OTHER)

    def spec_of_code(self, code: int) -> ActionSpec:
        """Return the kind with `code`; one that has left the configuration is `OTHER`."""
        return self.by_code.get(code, OTHER)


def _problems(specs: tuple[ActionSpec, ...]) -> list[str]:
    problems = [
        f"action {spec.name!r} has code {spec.code}, expected 1 to {MAX_CODE}"
        for spec in specs
        if not 1 <= spec.code <= MAX_CODE
    ]
    names = [spec.name for spec in specs]
    codes = [spec.code for spec in specs]
    problems += [f"action {name!r} occurs twice" for name in _repeated(names)]
    problems += [f"action code {code} occurs twice" for code in _repeated(codes)]
    return problems


def _repeated(values: list[str] | list[int]) -> list[str | int]:
    return sorted({value for value in values if values.count(value) > 1})  # type: ignore[arg-type]


DEFAULT_ACTIONS: Final = (
    ActionSpec(name="click", code=1, weight=1.0, effect=Effect.POSITIVE, is_label=True),
    ActionSpec(name="view", code=2, weight=0.5, effect=Effect.NEUTRAL),
    ActionSpec(name="like", code=3, weight=2.0, effect=Effect.POSITIVE),
    ActionSpec(name="hide", code=4, weight=0.0, effect=Effect.NEGATIVE),
    ActionSpec(name="add_to_cart", code=5, weight=3.0, effect=Effect.POSITIVE),
    ActionSpec(name="purchase", code=6, weight=5.0, effect=Effect.POSITIVE),
    ActionSpec(name="dwell", code=7, weight=0.0, effect=Effect.NEUTRAL),
    ActionSpec(name="rating", code=8, weight=1.0, effect=Effect.POSITIVE),
    ActionSpec(name="search", code=9, weight=0.0, effect=Effect.NEUTRAL),
)
