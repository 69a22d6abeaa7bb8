"""The local stack: Kafka, Redis, the roles and Prometheus on one machine, from PyPI alone."""
