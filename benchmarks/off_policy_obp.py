"""The other side of `benchmarks.off_policy`: Open Bandit Pipeline, in an environment of its own.

It imports nothing of ours, since that environment has nothing of ours.
"""

import json
import sys

import numpy as np
from obp.ope import (
    DoublyRobust,
    InverseProbabilityWeighting,
    SelfNormalizedInverseProbabilityWeighting,
)


def main() -> None:
    """Read a case and print its estimates."""
    case = np.load(sys.argv[1])
    num_rows, clip = len(case["items"]), float(case["clip"])
    # [rows, items, places], the same for every row.
    chances = np.repeat(case["chances"].T[None], num_rows, axis=0)
    log = {
        "reward": case["rewards"],
        "action": case["items"],
        "position": case["places"],
        "pscore": case["propensities"],
        "action_dist": chances,
    }
    found = {}
    for suffix, limit in (("", np.inf), (f" <= {clip:g}", clip)):
        inverse = InverseProbabilityWeighting(lambda_=limit)
        robust = DoublyRobust(lambda_=limit)
        found[f"ips{suffix}"] = float(inverse.estimate_policy_value(**log))
        found[f"dr{suffix}"] = float(
            robust.estimate_policy_value(**log, estimated_rewards_by_reg_model=case["expected"])
        )
    # It takes the limit, too, but does not apply it.
    normalised = SelfNormalizedInverseProbabilityWeighting()
    found["snips"] = float(normalised.estimate_policy_value(**log))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
