"""A bounding box may claim any extent: what a command takes goes with the shards that are there, or it is refused."""

import tracemalloc
from dataclasses import replace

import pytest
from helpers.conversions import JOBS, SETTINGS, carry_out, edit, em

from wkconvert_core import Box, Checksum, Mag, WkconvertError
from wkconvert_core.commands import compress, downsample, export, recube
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.info import describe
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.errors import BrokenSource
from wkconvert_core.conversion.execute import convert
from wkconvert_core.datasets.records.finished_shards import FinishedShards
from wkconvert_core.planning.step import ShardDone

SMALL = replace(JOBS, memory=512 << 20, max_mag=2)
COMMANDS = {
    "downsample": lambda ds, out: carry_out(downsample.prepare(ds, SMALL)),
    "compress": lambda ds, out: carry_out(compress.prepare(ds, None, SMALL)),
    "compress a copy": lambda ds, out: carry_out(compress.prepare(ds, out, SMALL)),
    "recube": lambda ds, out: carry_out(recube.prepare(ds, out, SMALL)),
    "auto": lambda ds, out: convert(ds, out, replace(SMALL, voxel_size=SETTINGS.voxel_size)),
    "export-tiff": lambda ds, out: carry_out(export.prepare(ds, out, SMALL)),
    "verify": lambda ds, out: verify(ds),
    "check-equality": lambda ds, out: check_equality(ds, ds),
    "info": lambda ds, out: describe(ds),
}


@pytest.mark.slow
@pytest.mark.parametrize("side", [10**7])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_lying_box_takes_no_memory(tmp_path, reader, command, side):
    convert(
        reader(tmp_path / "src", em()),
        tmp_path / "ds",
        replace(SETTINGS, compression="none", downsample=False, file_len=1),
    )
    edit(tmp_path / "ds", lambda _, layer: layer["boundingBox"].update(width=side, height=side, depth=side))
    tracemalloc.start()
    try:
        COMMANDS[command](tmp_path / "ds", tmp_path / "out")
    except WkconvertError as error:
        assert "--memory" in error.what, error  # noqa: PT017 - either may be
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 300 << 20


@pytest.mark.parametrize("side", [2**53, 2**62, 2**70])
def test_a_box_that_no_file_can_hold_is_malformed(tmp_path, reader, side):
    convert(reader(tmp_path / "src", em()), tmp_path / "ds", replace(SETTINGS, downsample=False))
    edit(tmp_path / "ds", lambda _, layer: layer["boundingBox"].update(width=side))
    for command in ("downsample", "recube", "verify"):
        with pytest.raises(BrokenSource, match="malformed") as caught:
            COMMANDS[command](tmp_path / "ds", tmp_path / "out")
        assert str(side) in caught.value.why


def test_few_shards_of_very_many_take_little():
    finished = FinishedShards(Box((0, 0, 0), (10**7,) * 3), (32, 32, 32))
    starts = [(32 * n, 3200 * n, 32 * n * n) for n in range(500)]
    tracemalloc.start()
    for start in starts:
        finished.add(ShardDone(Mag(1, 1, 1), start, Checksum(0, 10), 0, 9, 0, 32**3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert all(start in finished for start in starts)
    assert (64, 0, 0) not in finished
    finished.drop(starts[7])
    assert [start for start in starts if start not in finished] == [starts[7]]
    assert finished.count == 500
