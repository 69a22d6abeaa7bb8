import json
from pathlib import Path

import numpy as np
import pytest

from models.bundle import (
    CONFIG,
    ENCODER,
    ITEMS,
    OPTIMIZER,
    WEIGHTS,
    Bundle,
    BundleConfig,
    BundleRefused,
    _canonical,
    _sha256,
    load_bundle,
    write_bundle,
)

_FILES = (CONFIG, ITEMS, WEIGHTS, ENCODER, OPTIMIZER)


def _write(folder: Path, *, cutoff_offset: int = 7) -> Bundle:
    return write_bundle(
        folder,
        config=BundleConfig(
            kind="transformer",
            created_ms=5,
            cutoff_offset=cutoff_offset,
            cutoff_ms=6,
            metrics={"hr": 0.5, "mrr": None},
            settings={"length": 50},
        ),
        item_ids=["a", "é"],
        weights={"items": np.arange(6, dtype=np.float32).reshape(3, 2)},
        graph=b"graph",
        optimizer={"steps": np.ones(3, np.float32)},
    )


def _rewrite_config(folder: Path, **changes: object) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = _write(tmp_path / "b")
    read = load_bundle(tmp_path / "b", expected_digest=written.digest)
    assert read == written
    assert list(read.item_ids) == ["a", "é"]
    assert read.config.cutoff_offset == 7
    assert read.config.metrics == {"hr": 0.5, "mrr": None}
    assert read.read(ENCODER) == b"graph"
    np.testing.assert_array_equal(read.arrays(WEIGHTS)["items"], [[0, 1], [2, 3], [4, 5]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.999])
def test_flipped_byte_is_refused(tmp_path: Path, name: str, place: float) -> None:
    _write(tmp_path / "b")
    path = tmp_path / "b" / name
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(BundleRefused):
        load_bundle(tmp_path / "b")


def test_every_flipped_byte_of_the_configuration_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "b")
    path = tmp_path / "b" / CONFIG
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(BundleRefused):
            load_bundle(tmp_path / "b")
    path.write_bytes(content)
    load_bundle(tmp_path / "b")


@pytest.mark.parametrize("name", _FILES)
def test_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "b")
    (tmp_path / "b" / name).unlink()
    with pytest.raises(BundleRefused, match="missing"):
        load_bundle(tmp_path / "b")


def test_only_kinds_that_are_served_as_a_graph_need_one(tmp_path: Path) -> None:
    def write(kind: str) -> Bundle:
        return write_bundle(
            tmp_path / kind,
            config=BundleConfig(
                kind=kind, created_ms=0, cutoff_offset=0, cutoff_ms=0, metrics={}, settings={}
            ),
            item_ids=["a"],
            weights={"counts": np.ones(1, np.float32)},
        )

    assert load_bundle(write("popularity").folder).file_digests.keys() == {ITEMS, WEIGHTS}
    with pytest.raises(ValueError, match="graph"):
        write("transformer")


def test_another_version_is_refused_and_named(tmp_path: Path) -> None:
    _write(tmp_path / "b")
    _rewrite_config(tmp_path / "b", format_version=99)
    with pytest.raises(BundleRefused, match="99 found, 2 expected"):
        load_bundle(tmp_path / "b")


def test_another_bundle_than_the_announced_is_refused(tmp_path: Path) -> None:
    announced = _write(tmp_path / "b")
    other = _write(tmp_path / "c", cutoff_offset=8)
    assert other.digest != announced.digest
    with pytest.raises(BundleRefused, match="expected"):
        load_bundle(tmp_path / "c", expected_digest=announced.digest)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/weights", ".."])
def test_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    bundle = _write(tmp_path / "b")
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(BundleRefused, match="no file"):
        bundle.read(name)
    # A forger can make the digests agree, the names are refused all the same.
    path = tmp_path / "b" / CONFIG
    body = json.loads(path.read_text())
    del body["digest"]
    body["files"][name] = _sha256(b"x")
    path.write_bytes(_canonical({**body, "digest": _sha256(_canonical(body))}))
    with pytest.raises(BundleRefused, match="unknown"):
        load_bundle(tmp_path / "b")


def test_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "b")
    (tmp_path / "b" / ENCODER).rename(tmp_path / "elsewhere")
    (tmp_path / "b" / ENCODER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleRefused, match="plain file"):
        load_bundle(tmp_path / "b")


def test_file_changed_after_the_check_is_refused_when_read(tmp_path: Path) -> None:
    bundle = _write(tmp_path / "b")
    (tmp_path / "b" / ENCODER).write_bytes(b"other")
    with pytest.raises(BundleRefused, match="digest"):
        bundle.read(ENCODER)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b'{"format_version": 2}', b"\xff\xfe"])
def test_configuration_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    _write(tmp_path / "b")
    (tmp_path / "b" / CONFIG).write_bytes(content)
    with pytest.raises(BundleRefused):
        load_bundle(tmp_path / "b")


def test_bundles_are_never_overwritten(tmp_path: Path) -> None:
    before = _write(tmp_path / "b")
    with pytest.raises(FileExistsError, match="never overwritten"):
        _write(tmp_path / "b", cutoff_offset=9)
    assert load_bundle(tmp_path / "b").digest == before.digest
