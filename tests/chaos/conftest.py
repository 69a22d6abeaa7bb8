"""The topics of a pipeline, as the tests of single roles have them."""

from tests.integration.conftest import topics

__all__ = ["topics"]
