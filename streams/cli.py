"""Which commands does `headrace` offer?"""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headrace")
def main() -> None:
    """Headrace: a streaming real-time recommender on Kafka, Redis and Prometheus."""
