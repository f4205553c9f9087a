"""`wkconvert export --to ozx`: what zarr-python finds in the file, and what reading it back with `auto` gives."""

import errno
import json
import zipfile

import numpy as np
import pytest
from helpers.conversions import carry_out, dataset_of, invoke

from wkconvert_core import DTYPES, Box, Mag, OptionError, VoxelSize
from wkconvert_core.commands.export import Pictures, prepare
from wkconvert_core.contract.errors import NoSpace
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.reader import open_layers
from wkconvert_core.testing import noise
from wkconvert_zarr.mags.sink import ZarrSink

zarr = pytest.importorskip("zarr")

SIZE = VoxelSize((11.24, 11.24, 28.0), "nm")


def exported(src, out, pictures=None, **given):
    return carry_out(prepare(src, out, Settings(**given), pictures, to="ozx"))


def mags_of(path):
    (layer,) = open_layers(path)
    return {mag: (source.info.extent, source.read(source.info.box)) for mag, source in layer.mags.items()}


def check_same(found, expected):
    assert found.keys() == expected.keys()
    for mag, (extent, voxels) in expected.items():
        assert found[mag][0] == extent
        np.testing.assert_array_equal(found[mag][1], voxels)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_mags_come_back_the_same_in_their_place(tmp_path, dtype):
    src = dataset_of(
        tmp_path / "ds",
        noise(75, 70, 40, dtype=dtype),
        voxel_size=SIZE,
        downsample=True,
        top_left=(8, 12, 20),
        max_mag=4,
    )
    plan = prepare(src, tmp_path / "em.ozx", Settings(verify=True), to="ozx")
    carry_out(plan)
    with zipfile.ZipFile(tmp_path / "em.ozx") as file:
        shards = sum(entry.file_size for entry in file.infolist() if "/c/" in entry.filename)
    assert 2 * shards <= plan.needed, "they lie there twice for a while"
    back = convert(tmp_path / "em.ozx", tmp_path / "back", Settings(category="color", max_mag=4))
    assert back.conversion.voxel_size == VoxelSize(SIZE.size, "nm", "coordinateTransformations")
    assert len(mags_of(src)) == 3
    check_same(mags_of(tmp_path / "back"), mags_of(src))


def test_zarr_python_finds_the_voxels_sizes_and_places(tmp_path):
    voxels = noise(75, 70, 40, dtype="uint16")
    src = dataset_of(tmp_path / "ds", voxels, voxel_size=SIZE, downsample=True, max_mag=2, top_left=(10, 0, 6))
    exported(src, tmp_path / "em.ozx")
    group = zarr.open_group(zarr.storage.ZipStore(tmp_path / "em.ozx", mode="r"), mode="r")
    np.testing.assert_array_equal(np.squeeze(group["1"][:]), voxels)
    (multiscale,) = group.attrs["ome"]["multiscales"]
    found = multiscale["datasets"][1]["coordinateTransformations"]
    assert [one["type"] for one in found] == ["scale", "translation"]
    assert multiscale["datasets"][1]["path"] == "2-2-1"
    np.testing.assert_allclose(found[0]["scale"][1:], [22.48, 22.48, 28])
    np.testing.assert_allclose(found[1]["translation"][1:], [10.5 * 11.24, 0.5 * 11.24, 6 * 28])
    assert group.attrs["ome"]["omero"]["channels"][0]["label"] == "em"


def test_a_part_from_a_mag_on_comes_back(tmp_path):
    src = dataset_of(tmp_path / "ds", noise(75, 70, 40), voxel_size=SIZE, downsample=True, max_mag=4)
    exported(src, tmp_path / "em.ozx", Pictures(Mag(2, 2, 1)), bbox=Box((12, 16, 4), (40, 32, 20)))
    (multiscale,) = json.loads(zipfile.ZipFile(tmp_path / "em.ozx").read("zarr.json"))["attributes"]["ome"][
        "multiscales"
    ]
    assert [one["path"] for one in multiscale["datasets"]] == ["2-2-1", "4-4-2"]
    np.testing.assert_allclose(
        multiscale["datasets"][0]["coordinateTransformations"][1]["translation"][1:],
        [(12 + 0.5) * 11.24, (16 + 0.5) * 11.24, 4 * 28],
    )
    back = convert(tmp_path / "em.ozx", tmp_path / "back", Settings(category="color", downsample=False))
    assert any("begins at voxel 6.25, 8.25, 4" in note for note in back.notes), "between those of the coarser mag"
    ((extent, voxels),) = mags_of(tmp_path / "back").values()
    assert extent == Box((0, 0, 0), (20, 16, 20))
    np.testing.assert_array_equal(voxels, mags_of(src)[Mag(2, 2, 1)][1][:, 6:26, 8:24, 4:24])


@pytest.mark.parametrize("category", ["color", "segmentation"])
def test_a_downsampled_export_is_the_coarser_mag_alone(tmp_path, category):
    voxels = noise(75, 70, 40, dtype="uint16")
    src = dataset_of(tmp_path / "ds", voxels, voxel_size=SIZE, category=category, downsample=True, max_mag=2)
    exported(src, tmp_path / "em.ozx", Pictures(downsample=2))
    back = convert(tmp_path / "em.ozx", tmp_path / "back", Settings(category=category, downsample=False))
    assert back.conversion.voxel_size.size == (22.48, 22.48, 28)
    check_same(mags_of(tmp_path / "back"), {Mag(1, 1, 1): mags_of(src)[Mag(2, 2, 1)]})


def test_options_of_the_writer_set_chunks_and_compression(tmp_path):
    src = dataset_of(tmp_path / "ds", noise(75, 70, 40), voxel_size=SIZE)
    options = ("chunk=16", "compression=gzip", "compression_level=9")
    given = [text for option in options for text in ("--to-option", option)]
    assert invoke("export", src, tmp_path / "em.ozx", "--to", "ozx", *given).exit_code == 0
    (sharding,) = json.loads(zipfile.ZipFile(tmp_path / "em.ozx").read("1/zarr.json"))["codecs"]
    inner = sharding["configuration"]
    assert inner["chunk_shape"] == [1, 16, 16, 16]
    assert inner["codecs"][-1] == {"name": "gzip", "configuration": {"level": 9}}
    convert(tmp_path / "em.ozx", tmp_path / "back", Settings(category="color", downsample=False))
    check_same(mags_of(tmp_path / "back"), mags_of(src))


def test_labels_stay_labels_and_the_same_voxels_give_the_same_bytes(tmp_path):
    labels = noise(75, 70, 40, dtype="uint64")
    src = dataset_of(tmp_path / "ds", labels, voxel_size=SIZE, category="segmentation")
    (tmp_path / "out").mkdir()
    exported(src, tmp_path / "out/a.ozx")
    exported(src, tmp_path / "out/b.ozx", jobs=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.ozx", "b.ozx"]
    assert (tmp_path / "out/a.ozx").read_bytes() == (tmp_path / "out/b.ozx").read_bytes()
    back = convert(tmp_path / "out/a.ozx", tmp_path / "back", Settings(downsample=False))
    assert back.layers[0].category == "segmentation"
    with zipfile.ZipFile(tmp_path / "out/a.ozx") as file:
        assert {entry.compress_type for entry in file.infolist()} == {zipfile.ZIP_STORED}
        assert file.namelist()[:2] == ["zarr.json", "1/zarr.json"]
        assert json.loads(file.comment)["ome"]["version"] == "0.5"


def test_an_interrupted_export_is_nowhere_and_goes_on(tmp_path, monkeypatch):
    src = dataset_of(tmp_path / "ds", noise(75, 70, 40), voxel_size=SIZE, downsample=True, max_mag=2)
    (tmp_path / "out").mkdir()
    exported(src, tmp_path / "clean.ozx")
    write, calls = ZarrSink.write, []

    def full(self, box, data):
        calls.append(box)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, box, data)

    monkeypatch.setattr(ZarrSink, "write", full)
    with pytest.raises(NoSpace):
        exported(src, tmp_path / "out/em.ozx", jobs=1)
    assert not (tmp_path / "out/em.ozx").exists()
    monkeypatch.setattr(ZarrSink, "write", write)
    assert exported(src, tmp_path / "out/em.ozx").resumed == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["em.ozx"]
    assert (tmp_path / "out/em.ozx").read_bytes() == (tmp_path / "clean.ozx").read_bytes()


def test_a_name_of_another_format_is_refused(tmp_path):
    src = dataset_of(tmp_path / "ds", noise(20, 20, 2))
    with pytest.raises(OptionError, match="no name of a zipped OME-Zarr"):
        invoke("export", src, tmp_path / "em.zip", "--to", "ozx")
