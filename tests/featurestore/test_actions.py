"""The table of actions: names and codes, and what an unknown one means."""

import pytest

from featurestore.actions import DEFAULT_ACTIONS, OTHER, ActionSpec, ActionTable, Effect


def spec(name: str, code: int) -> ActionSpec:
    return ActionSpec(name=name, code=code, weight=1.0, effect=Effect.POSITIVE)


def test_the_default_actions_form_a_table() -> None:
    table = ActionTable.of(DEFAULT_ACTIONS)
    assert table.spec("click").is_label
    assert table.spec("hide").effect is Effect.NEGATIVE
    assert table.positive_codes == {1, 3, 5, 6, 8}


def test_an_unknown_name_and_an_unknown_code_are_the_neutral_other() -> None:
    table = ActionTable.of(DEFAULT_ACTIONS)
    assert table.spec("teleport") is OTHER
    assert table.spec_of_code(200) is OTHER
    assert table.spec_of_code(0) is OTHER
    assert OTHER.effect is Effect.NEUTRAL


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"code 0.*'a' occurs twice.*code 7 occurs twice"):
        ActionTable.of([spec("a", 0), spec("a", 7), spec("b", 7)])
