"""`verify` of mags that another program has rewritten: told from damage where that is certain, and only there."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.conversions import SETTINGS, carry_out, em, invoke, mags_of, read
from helpers.datasets import needs_peer, peer

from wkconvert_core import Box, DamagedData, Mag, MagSpec
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.compress import prepare as compress
from wkconvert_core.commands.downsample import prepare as downsample
from wkconvert_core.commands.recube import prepare as recube
from wkconvert_core.commands.verify import verify
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.formats.wkw.sink import WkwSink

__all__ = ["peer"]  # a fixture
ALONE = Settings(strategy="sequential")
SHAPE = (100, 90, 40)


def three_mags(folder, reader):
    """Mags 1, 2-2-1 and 4-4-1, of which the first has eight shards."""
    source = reader(folder / "source" / "stack", em(SHAPE))
    convert(source, folder / "ds", replace(SETTINGS, category="color", file_len=1, max_mag=4, compression="lz4"))


@pytest.fixture
def dataset(tmp_path, reader, put_copy):
    put_copy(three_mags, tmp_path)
    return tmp_path / "ds"


def rewrite(dataset, mag="1", change=lambda voxels: voxels, **how):
    """A mag written anew, as by another program: voxels by function, in another layout, with no word in the records."""
    voxels = change(read(dataset, mag=mag).copy())
    folder = dataset / "color" / mag
    shutil.rmtree(folder)
    spec = MagSpec("color", "color", Mag.parse(mag), Box((0, 0, 0), voxels.shape[1:]), voxels.dtype, 1)
    sink = WkwSink(folder, spec, **{"compression": "lz4", "file_len": 1, **how})
    for box in spec.box.tiles(sink.shard_shape):
        sink.write(box, voxels[:, *box.slices_in(spec.box)])


def other_voxels(voxels):
    return voxels // 3 * 3


REWRITTEN = {
    "other voxels": {"change": other_voxels},
    "raw": {"compression": "none"},
    "more effort": {"compression": "lz4hc", "change": other_voxels},
    "longer shards": {"file_len": 4},
    "longer shards, raw": {"file_len": 2, "compression": "none"},
}


@pytest.mark.parametrize("how", REWRITTEN)
def test_a_mag_that_was_rewritten_has_changed_and_is_not_damaged(dataset, how):
    rewrite(dataset, **REWRITTEN[how])
    found = verify(dataset, ALONE, deep=True)
    assert found.damaged == []
    (problem,) = found.changed
    assert (problem.layer, problem.mag, problem.path) == ("color", Mag(1, 1, 1), dataset / "color" / "1")
    assert "changed since wkconvert wrote it; decodes soundly" in problem.reason
    assert not found.sound
    assert [mag.kernel for mag in found.mags] == [None, None, "median"]
    assert "changed" in found.mags[1].kernel_reason


def test_the_command_says_so_with_a_remedy_and_an_exit_code_of_its_own(dataset):
    rewrite(dataset, change=other_voxels)
    told = invoke("verify", dataset)
    assert told.exit_code == 3
    assert "changed: " in told.stdout
    assert "--write-checksums" in told.stdout
    assert "1 mag changed since" in told.stdout
    assert "changed: " in invoke("verify", dataset, "-q").stdout
    document = json.loads(invoke("verify", dataset, "--json").stdout)
    assert (document["sound"], document["damaged"], document["changed"][0]["mag"]) == (False, [], "1")
    (dataset / "color/2-2-1/z0/y0/x0.wkw").unlink()
    assert invoke("verify", dataset).exit_code == 1


@pytest.mark.parametrize("how", ["other voxels", "raw"])
def test_what_reads_the_mag_says_that_it_may_have_changed_and_the_remedy_holds(dataset, tmp_path, how):
    rewrite(dataset, **REWRITTEN[how])
    with pytest.raises(DamagedData, match="is damaged, or has changed since wkconvert wrote it") as told:
        convert(dataset, tmp_path / "copy", SETTINGS)
    assert "--write-checksums" in told.value.fix
    assert verify(dataset, ALONE, write_checksums=True).sound
    convert(dataset, tmp_path / "copy", SETTINGS)
    np.testing.assert_array_equal(read(tmp_path / "copy"), read(dataset))


def test_write_checksums_takes_the_new_ones_and_then_all_commands_go_on(dataset, tmp_path):
    rewrite(dataset, change=other_voxels)
    taken = verify(dataset, ALONE, write_checksums=True)
    assert taken.sound
    assert [mag.checksums_written for mag in taken.mags] == [True, False, False]
    assert any("had changed since" in note for note in taken.notes)
    found = verify(dataset, ALONE, deep=True)
    assert found.sound
    assert found.mags[0].checksums_compared == found.mags[0].shards
    assert [mag.kernel for mag in found.mags] == [None, None, "median"], "mag 2-2-1 is of what mag 1 was"
    carry_out(recube(dataset, tmp_path / "copy", ALONE))
    assert check_equality(dataset, tmp_path / "copy", ALONE).equal
    copied = verify(tmp_path / "copy", ALONE, deep=True)
    assert copied.sound
    assert [mag.kernel for mag in copied.mags] == [None, None, "median"]
    shard = dataset / "color/1/z0/y0/x0.wkw"
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(content)
    assert [problem.path for problem in verify(dataset, ALONE).damaged] == [shard]


def test_what_is_made_of_the_changed_mag_is_known_again(dataset):
    rewrite(dataset, change=other_voxels)
    verify(dataset, ALONE, write_checksums=True)
    for mag in ("2-2-1", "4-4-1"):
        shutil.rmtree(dataset / "color" / mag)
    assert invoke("metadata", dataset).exit_code == 0
    carry_out(downsample(dataset, replace(ALONE, max_mag=4)))
    assert mags_of(dataset) == ["1-1-1", "2-2-1", "4-4-1"]
    found = verify(dataset, ALONE, deep=True)
    assert found.sound
    assert found.mags[2].kernel == "median"


def test_compressing_the_changed_mag_does_not_bring_back_how_it_was_made(dataset):
    rewrite(dataset, "2-2-1", other_voxels, compression="none")
    verify(dataset, ALONE, write_checksums=True)
    carry_out(compress(dataset, None, ALONE))
    found = verify(dataset, ALONE, deep=True)
    assert found.sound
    assert [mag.kernel for mag in found.mags] == [None] * 3


# --- damage stays damage ---------------------------------------------------------------------------------------------


def flip(path, at=-5):
    content = bytearray(path.read_bytes())
    content[at] ^= 16
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"more")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["none", "lz4"])
@pytest.mark.parametrize("harm", [flip, cut, lengthen, empty])
@pytest.mark.parametrize("all_of_them", [True, False])
def test_what_flips_and_cuts_can_do_is_damage_however_many_shards_it_hits(dataset, compression, harm, all_of_them):
    rewrite(dataset, compression=compression)
    shutil.rmtree(dataset / ".wkconvert")
    assert verify(dataset, ALONE, write_checksums=True).sound
    shards = sorted((dataset / "color/1").rglob("x*.wkw"))[: None if all_of_them else 1]
    for shard in shards:
        before = shard.stat()
        harm(shard)
        os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))  # nobody wrote it
    found = verify(dataset, ALONE, write_checksums=True)
    assert sorted(problem.path for problem in found.damaged) == shards
    assert found.changed == []
    assert not found.mags[0].checksums_written


def test_a_single_byte_of_the_same_size_is_damage_whenever_it_was_changed(dataset):
    """Also in a mag of one shard, where that is all of them."""
    rewrite(dataset, "4-4-1", compression="none", file_len=2)
    shutil.rmtree(dataset / ".wkconvert")
    assert verify(dataset, ALONE, write_checksums=True).sound
    (shard,) = (dataset / "color/4-4-1").rglob("x*.wkw")
    some, *others = sorted((dataset / "color/1").rglob("x*.wkw"))
    flip(shard)
    flip(some)
    found = verify(dataset, ALONE, write_checksums=True)
    assert {problem.path for problem in found.damaged} == {shard, some}
    for other in others[1:]:
        flip(other)
    found = verify(dataset, ALONE, write_checksums=True)
    assert {problem.path for problem in found.damaged} == {shard, some, *others[1:]}
    assert not found.changed


def test_a_single_shard_that_was_replaced_is_damage(dataset):
    """It may be a sound one: of another place, or of another dataset."""
    shards = sorted((dataset / "color/1").rglob("x*.wkw"), key=lambda path: path.stat().st_size)
    shutil.copy(shards[0], shards[-1])
    found = verify(dataset, ALONE, write_checksums=True)
    assert [problem.path for problem in found.damaged] == [shards[-1]]
    assert found.changed == []


def test_a_shard_of_a_rewritten_mag_that_is_missing_or_does_not_decode_is_damage(dataset):
    rewrite(dataset, change=other_voxels)
    shard = dataset / "color/1/z0/y0/x1.wkw"
    content = shard.read_bytes()
    cut(shard)
    found = verify(dataset, ALONE, write_checksums=True)
    assert shard in [problem.path for problem in found.damaged]
    assert found.changed == []
    shard.unlink()
    assert not verify(dataset, ALONE, write_checksums=True).changed
    shard.write_bytes(content)
    assert not verify(dataset, ALONE).damaged


def test_a_rewritten_mag_of_another_dtype_or_with_a_damaged_record_is_damage(dataset):
    rewrite(dataset, "4-4-1", change=lambda voxels: voxels.astype("uint16"))
    assert verify(dataset, ALONE).damaged
    rewrite_record = dataset / ".wkconvert/color.auto.shards"
    shutil.rmtree(dataset / "color/4-4-1")
    assert invoke("metadata", dataset).exit_code == 0
    rewrite(dataset, change=other_voxels)
    rewrite_record.write_bytes(rewrite_record.read_bytes()[:-4] + b"\n")
    found = verify(dataset, ALONE, write_checksums=True)
    assert found.changed == []
    assert len(found.damaged) > 2


# --- by the peer -----------------------------------------------------------------------------------------------------


@needs_peer
@pytest.mark.slow
def test_mags_that_the_peer_has_remade_have_changed(dataset, peer):
    for mag in ("2-2-1", "4-4-1"):
        shutil.rmtree(dataset / "color" / mag)
    assert invoke("metadata", dataset).exit_code == 0
    peer.ask("downsample", path=str(dataset), layer="color", mode="nearest", mags=["1", "2-2-1", "4-4-1"], shard=32)
    found = verify(dataset, ALONE)
    assert found.damaged == []
    assert [str(problem.mag) for problem in found.changed] == ["2-2-1", "4-4-1"]
    assert verify(dataset, ALONE, write_checksums=True).sound
    assert invoke("verify", dataset).exit_code == 0
    assert np.asarray(read(dataset, mag="2-2-1")).any()
