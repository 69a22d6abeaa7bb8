"""Topics and a producer for tests of whole roles."""

import pytest

from deploy.stack.broker import KafkaBroker
from deploy.stack.topics import TopicLayout, create_topics

NUM_PARTITIONS = 4


@pytest.fixture
def topics(kafka: KafkaBroker, topic_prefix: str) -> str:
    """All topics, freshly created; returns their prefix."""
    create_topics(kafka.bootstrap, TopicLayout(num_partitions=NUM_PARTITIONS, prefix=topic_prefix))
    return topic_prefix
