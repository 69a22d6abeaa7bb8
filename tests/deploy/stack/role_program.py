"""A role for tests: serves metrics on the port that it is told, and prints its addresses."""

import os
import signal
import sys

from prometheus_client import start_http_server


def main() -> None:
    start_http_server(int(os.environ["TEST_METRICS_PORT"]), addr="127.0.0.1")
    sys.stdout.write(f"{os.environ['HEADRACE_KAFKA']} {os.environ['HEADRACE_REDIS']}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
