"""How likely: learners, rankers, retrieval, evaluation; knows no Kafka, Redis, Faust or clock."""
