"""One side of `benchmarks.training`: our transformer, a pass for each line that is read."""

import json
import resource
import sys
import time

import numpy as np

from models.history import History, HistoryEvent
from models.registry import new_recommender


def peak_bytes() -> int:
    """Return this process's largest resident memory until now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Read the log, then train in step with the benchmark."""
    path, num_passes = sys.argv[1], int(sys.argv[2])
    log = np.load(path)
    history = History()
    events = (
        HistoryEvent(user_id=str(user), time_s=0, action=1, item_id=str(item))
        for user, item in zip(log["users"].tolist(), log["items"].tolist(), strict=True)
    )
    history.append(events, from_offset=0, to_offset=1)
    progress = new_recommender("transformer", training={"max_epochs": num_passes}).fit(history)
    first_bytes = peak_bytes()
    for number in range(1, num_passes + 1):
        sys.stdin.readline()
        begun_s = time.process_time()
        while next(progress).epoch < number:
            pass
        cpu_s = time.process_time() - begun_s
        report = {"cpu_s": cpu_s, "first_bytes": first_bytes, "peak_bytes": peak_bytes()}
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
