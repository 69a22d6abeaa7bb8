"""The schemas of results that are committed."""

import pytest
from jsonschema import Draft202012Validator

from streams.evaluation.result_schemas import RESULTS, result_schema, schema_path, schema_text
from streams.result_file import RunResult


@pytest.mark.parametrize("kind", RESULTS)
def test_published_schema_is_the_one_of_the_types(kind: type[RunResult]) -> None:
    Draft202012Validator.check_schema(result_schema(kind))
    published = schema_path(kind).read_text(encoding="utf-8")
    assert published == schema_text(kind), "anew: python -m streams.evaluation.result_schemas"


def test_every_kind_has_a_schema_of_its_own() -> None:
    assert len({schema_path(kind) for kind in RESULTS}) == len(RESULTS)
    assert len({result_schema(kind)["title"] for kind in RESULTS}) == len(RESULTS)
