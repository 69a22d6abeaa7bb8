"""What serving a model of a finished log needs, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.bundle import BundleRefused
from models.graph_inputs import FEEDS
from models.registry import SERVABLE, new_recommender
from models.served import load_served
from tests.models.histories import history_of

ROWS = [(f"u{user}", f"i{(user + step) % 5}") for user in range(6) for step in range(3)]


def test_serving_needs_no_torch(tmp_path: Path) -> None:
    for name in SERVABLE:
        model = new_recommender(name)
        next(iter(model.fit(history_of(ROWS))))
        model.save(tmp_path / name)
    program = (
        "import sys; from pathlib import Path; from models.bundle import load_bundle; "
        "from models.served import load_served; import models.recommender_source; "
        "served = [load_served(load_bundle(one)) for one in Path(sys.argv[1]).iterdir()]; "
        "assert len(served) == int(sys.argv[2]); "
        "sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(len(SERVABLE))]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(FEEDS))
def test_a_network_without_its_graph_is_refused(name: str, tmp_path: Path) -> None:
    without = new_recommender(name).save(tmp_path / "bundle")
    with pytest.raises(BundleRefused, match=r"no file 'encoder\.onnx'"):
        load_served(without)


def test_a_model_that_is_live_by_itself_is_refused(tmp_path: Path) -> None:
    model = new_recommender("popularity")
    for _ in model.fit(history_of(ROWS)):
        pass
    with pytest.raises(BundleRefused, match="'popularity' found, one that can be a live source"):
        load_served(model.save(tmp_path / "bundle"))
