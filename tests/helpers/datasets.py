"""Datasets by us, in the form of 2021 and by the peer, for tests of the commands; what other readers find in them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from helpers import npy_volumes
from helpers.conversions import PROPERTIES, invoke, properties
from wkconvert_core import Box, Mag, MagSpec, VoxelSize
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise

PEER = os.environ.get("WKCONVERT_PEER", "")
needs_peer = pytest.mark.skipif(not PEER, reason="WKCONVERT_PEER is not set")
NANOMETERS = {"nanometer": 1, "micrometer": 1e3, "nm": 1, "µm": 1e3}


def run(*args, code=0):
    """A command, as the command line runs it; what it prints to standard output."""
    result = invoke(*args)
    assert result.exit_code == code, result.output
    return result.stdout


# --- what is in a dataset --------------------------------------------------------------------------------------------


def entries(dataset):
    """The layers' entries by name, each with its mags in the newer form."""
    found = {}
    for layer in properties(dataset)["dataLayers"]:
        mags = layer.get("mags") or [{"mag": each["resolution"]} for each in layer["wkwResolutions"]]
        mags = [[each["mag"]] * 3 if isinstance(each["mag"], int) else each["mag"] for each in mags]
        paths = [each.get("path") for each in layer.get("mags", [{}] * len(mags))]
        found[layer["name"]] = {**layer, "mags": [(tuple(mag), path) for mag, path in zip(mags, paths, strict=True)]}
    return found


def folder_of(dataset, name, mag, path=None):
    """Where a mag lies: `1` and `2` are isotropic."""
    short = str(mag[0]) if len(set(mag)) == 1 else "-".join(map(str, mag))
    return dataset / (path or f"{name}/{short}")


def box_of(entry, mag=(1, 1, 1)):
    """Start and shape in voxels of a mag: all that the extent touches."""
    box = entry["boundingBox"]
    shape = [box[side] for side in ("width", "height", "depth")]
    start = tuple(a // m for a, m in zip(box["topLeft"], mag, strict=True))
    stop = (-(-(a + n) // m) for a, n, m in zip(box["topLeft"], shape, mag, strict=True))
    return start, tuple(b - a for a, b in zip(start, stop, strict=True))


def element_of(entry):
    """The dtype of a channel and how many there are: an element class counts the bits of all."""
    name = {"float": "float32", "double": "float64"}.get(entry["elementClass"], entry["elementClass"])
    kind, bits = re.fullmatch(r"(\D+)(\d+)", name).groups()
    channels = entry.get("numChannels", 3 if name == "uint24" else 1)
    return f"{kind}{int(bits) // channels}", channels


def read_by_wkw(dataset, layer, mag=(1, 1, 1)):
    """The voxels [c, x, y, z] of a mag within the extent, as wkw reads them."""
    wkw = pytest.importorskip("wkw")
    entry = entries(dataset)[layer]
    folder = folder_of(dataset, layer, mag, dict(entry["mags"])[mag])
    with wkw.Dataset.open(str(folder)) as opened:
        assert [opened.header.voxel_type.__name__, opened.header.num_channels] == list(element_of(entry))
        return opened.read(*box_of(entry, mag))


def facts(dataset):
    """All that must be found in a dataset, told from its metadata by hand and from its shards by wkw."""
    scale = properties(dataset)["scale"]
    factor, unit = (scale, "nm") if isinstance(scale, list) else (scale["factor"], scale["unit"])
    layers = {}
    for name, entry in entries(dataset).items():
        start, shape = box_of(entry)
        layers[name] = {
            "category": entry["category"],
            "box": [*start, *shape],
            "dtype": element_of(entry)[0],
            "channels": element_of(entry)[1],
            "largest": whole(entry.get("largestSegmentId")),
            "mags": {dashed(mag): digest(read_by_wkw(dataset, name, mag)) for mag, _ in entry["mags"]},
        }
    return {"size": [round(side * NANOMETERS[unit], 6) for side in factor], "layers": layers}


def whole(number):
    """Ids from 2^53 on lie in an envelope."""
    return int(number["value"]) if isinstance(number, dict) else number


def dashed(mag):
    return "-".join(map(str, mag))


def digest(data):
    return hashlib.sha256(np.asarray(data).tobytes("F")).hexdigest()


def assert_facts(dataset, expected, peer=None):
    """Metadata and voxels are as expected, by wkw's reading, and by the peer's where that is at hand."""
    assert facts(dataset) == expected
    if peer:
        assert peer.facts(dataset) == expected


def blocks(data, start, factor):
    """The voxels [c, x, y, z, n] that make each coarser voxel, y fastest, then x; beyond the extent it is mirrored."""
    pad = [(a % f, -(a + n) % f) for a, n, f in zip(start, data.shape[1:], factor, strict=True)]
    data = np.pad(data, [(0, 0), *pad], mode="symmetric")
    c, *shape = data.shape
    x, y, z = (n // f for n, f in zip(shape, factor, strict=True))
    cells = data.reshape(c, x, factor[0], y, factor[1], z, factor[2]).transpose(0, 1, 3, 5, 6, 2, 4)
    return cells.reshape(c, x, y, z, -1)


def median_of(cells):
    """The mean of the two middle values, truncated, in Python's numbers: exact for 64 bits."""
    ranked = np.sort(cells, axis=-1)
    low, high = (ranked[..., cells.shape[-1] // 2 - i] for i in (1, 0))
    if cells.dtype.kind == "f":
        return (low + high) * cells.dtype.type(0.5)
    total = low.astype(object) + high.astype(object)
    return np.where(total < 0, -(-total // 2), total // 2).astype(cells.dtype)


def mode_of(cells):
    """The most frequent value; of several, that of the first voxel."""
    counts = (cells[..., :, None] == cells[..., None, :]).sum(-1)
    return np.take_along_axis(cells, counts.argmax(-1)[..., None], -1)[..., 0]


# --- the peer --------------------------------------------------------------------------------------------------------

SERVE = """
import hashlib, json, os, sys, traceback, warnings
warnings.simplefilter("ignore")
replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import numpy as np, webknossos as wk
from cluster_tools import get_executor
from webknossos.cli.check_equality import compare_layers
NM = {"nanometer": 1, "micrometer": 1e3}

def facts(path):
    dataset = wk.Dataset.open(path)
    size = dataset.voxel_size_with_unit
    layers = {}
    for name, layer in dataset.layers.items():
        box = layer.bounding_box
        layers[name] = {
            "category": layer.category, "box": [*box.topleft.to_list(), *box.size.to_list()],
            "dtype": str(np.dtype(layer.dtype)), "channels": layer.num_channels,
            "largest": getattr(layer, "largest_segment_id", None),
            "mags": {"-".join(map(str, mag.to_list())): hashlib.sha256(view.read().tobytes("F")).hexdigest()
                     for mag, view in layer.mags.items()},
        }
    return {"size": [round(side * NM[size.unit.value], 6) for side in size.factor], "layers": layers}

def make(path, size, unit, layers):
    dataset = wk.Dataset(path, voxel_size_with_unit=wk.VoxelSize(tuple(size), wk.LengthUnit(unit)))
    for name, layer in layers.items():
        data = np.load(layer["voxels"])
        more = {"largest_segment_id": layer["largest"]} if layer["category"] == "segmentation" else {}
        added = dataset.add_layer(name, layer["category"], dtype=data.dtype, num_channels=len(data), data_format="wkw",
                                  bounding_box=wk.BoundingBox(tuple(layer["start"]), data.shape[1:]), **more)
        mag = added.add_mag(1, compress=layer["compress"], shard_shape=layer["shard"])
        mag.write(data, absolute_offset=tuple(layer["start"]), allow_unaligned=True)
        if layer["mags"]:
            downsample(path, name, "default", layer["mags"], layer["compress"], layer["shard"], dataset)

def downsample(path, layer, mode, mags, compress=True, shard=128, dataset=None, buffer=None):
    layer = (dataset or wk.Dataset.open(path)).get_layer(layer)
    with get_executor("sequential") as executor:
        for finer, coarser in zip(mags[:-1], mags[1:]):
            layer.downsample_mag(wk.Mag(finer), wk.Mag(coarser), interpolation_mode=mode, compress=compress,
                                 shard_shape=shard, executor=executor, buffer_shape=buffer)

def equal(a, b):
    a, b = wk.Dataset.open(a), wk.Dataset.open(b)
    if set(a.layers) != set(b.layers):
        return "layers"
    with get_executor("sequential") as executor:
        try:
            for name in a.layers:
                compare_layers(a.get_layer(name), b.get_layer(name), executor)
        except RuntimeError as error:
            return str(error)
    return None

for line in sys.stdin:
    what, given = json.loads(line)
    try:
        reply = {"result": globals()[what](**given)}
    except BaseException:
        reply = {"error": traceback.format_exc()[-3000:]}
    print(json.dumps(reply), file=replies, flush=True)
"""


class Peer:
    """The peer in a process of its own, because importing it takes seconds."""

    def __init__(self, log):
        command = [PEER, "-W", "ignore", "-c", SERVE]
        self._log = log
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def ask(self, what, **given):
        self._process.stdin.write(json.dumps([what, given]) + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        assert reply, "the peer has ended"
        reply = json.loads(reply)
        assert "error" not in reply, reply.get("error")
        return reply["result"]

    def facts(self, dataset):
        return self.ask("facts", path=str(dataset))

    def equal(self, a, b):
        """None, or what the peer calls different."""
        return self.ask("equal", a=str(a), b=str(b))

    def downsample(self, dataset, layer, mode, mags, buffer=None):
        """With a buffer of so many coarse voxels a side."""
        self.ask("downsample", path=str(dataset), layer=layer, mode=mode, mags=mags, buffer=buffer)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The peer at work; None where it is not at hand."""
    if not PEER:
        yield None
        return
    with (tmp_path_factory.mktemp("peer") / "log").open("w") as log, Peer(log) as process:
        yield process


# --- making datasets -------------------------------------------------------------------------------------------------


def ids(shape, dtype="uint64", above=2**53, seed=0):
    """Labels in lumps, with background; as 64-bit ids, such as double precision cannot hold."""
    rng = np.random.default_rng(seed)
    lumps = rng.integers(0, 9, [-(-n // 3) for n in shape])
    for axis, n in enumerate(shape):
        lumps = lumps.repeat(3, axis).take(np.arange(n), axis)
    lumps = np.where(rng.random(shape) < 0.1, rng.integers(0, 9, shape), lumps)
    return np.where(lumps > 0, lumps.astype(dtype) + np.dtype(dtype).type(above), 0).astype(dtype)[None]


LAYERS = {
    "em": (noise(1, 77, 66, 45), "color", (5, 3, 7)),
    "rgb": (noise(3, 50, 40, 33, seed=1), "color", (33, 0, 1)),
    "ids": (ids((70, 61, 38)), "segmentation", (6, 3, 31)),
    "height": (noise(1, 40, 35, 34, dtype="float32", seed=2), "color", (1, 31, 2)),
}
SIZE_OF_LAYERS = VoxelSize((11.24, 11.24, 28.0))


def make_ours(folder, layers=LAYERS, **settings):
    """By `auto`: mags 1 and 2-2-1."""
    with npy_volumes.registered() as make_folder:
        for name, (data, category, start) in layers.items():
            source = make_folder(folder.parent / f"{folder.name}-source" / name, data, offset=start)
            plain = Settings(SIZE_OF_LAYERS, layer_name=name, category=category, max_mag=2, add=folder.exists(), jobs=2)
            convert(source, folder, Settings(**{**vars(plain), **settings}))
    return folder


def make_older(folder, file_len=8):
    """As wkcuber wrote them in 2021: list scale, `wkwResolutions`, `uint24` without `numChannels`, folders 1 and 2.

    `file_len` is that of the colours; wkcuber's default was 32, for which every command looks through 32,768 blocks.
    """
    colors, labels = noise(3, 70, 61, 45), ids((66, 50, 40), "uint32", 1000)
    listed = []
    for name, data, start, resolutions, blocks_per_side, block_type in (
        ("color", colors, (5, 3, 6), [1, 2, [4, 4, 2]], file_len, 2),
        ("segmentation", labels, (33, 0, 0), [[1, 1, 1], [2, 2, 2]], 2, 1),
    ):
        made, place, finer, mags = data, start, (1, 1, 1), []
        for resolution in resolutions:
            mag = (resolution,) * 3 if isinstance(resolution, int) else tuple(resolution)
            factor = tuple(b // a for a, b in zip(finer, mag, strict=True))
            cells = blocks(made, place, factor)
            made, finer = (median_of if name == "color" else mode_of)(cells) if max(factor) > 1 else made, mag
            place = tuple(a // m for a, m in zip(start, mag, strict=True))
            put_mag(folder_of(folder, name, mag), made, place, blocks_per_side // mag[0], block_type)
            mags.append({"resolution": resolution, "cubeLength": 32 * blocks_per_side // mag[0]})
        elements = {"elementClass": "uint24"} if name == "color" else {"elementClass": "uint32"}
        box = {"topLeft": list(start), **dict(zip(("width", "height", "depth"), data.shape[1:], strict=True))}
        listed.append(
            {
                **{"name": name, "category": name, **elements, "boundingBox": box, "dataFormat": "wkw"},
                "wkwResolutions": mags,
                **({"largestSegmentId": int(data.max()), "mappings": []} if name == "segmentation" else {}),
            }
        )
    top = {"id": {"name": "older", "team": "lab"}, "scale": [11.24, 11.24, 28.0], "dataLayers": listed}
    (folder / PROPERTIES).write_text(json.dumps(top))
    return folder


def repeat_noise(folder, shape, mag=1, to="wkw", **options):
    """A layer of noise without records, of shards that are the same: one is written, the others are links to it."""
    form, box = plugins().mag_formats()[to], Box((0, 0, 0), shape)
    spec = MagSpec("em", "color", Mag(mag, mag, mag), box, np.dtype("uint8"), 1)
    sink = form.sink(folder / "em" / str(mag), spec, options)
    voxels = np.random.default_rng(0).integers(1, 250, (1, *sink.shard_shape), "uint8")
    sink.begin()
    stored, written = form.open(folder / "em" / str(mag), box), {}
    for shard in box.tiles(sink.shard_shape):
        path = stored.shard_path(shard.start)
        if shard.shape in written:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(written[shard.shape])
        else:
            sink.write(shard, voxels[:, *map(slice, shard.shape)])
            written[shard.shape] = path
    update(folder, Wanted(voxel_size=VoxelSize((4, 4, 4)), category="color"))
    return folder


def write_by_wkw(folder, data, start=(0, 0, 0), file_len=2, block_type=1):
    """Voxels [c, x, y, z] as a mag of WKW, by the reference library, beyond which nothing is there."""
    wkw = pytest.importorskip("wkw")
    folder.mkdir(parents=True)
    header = wkw.Header(data.dtype.type, data.shape[0], block_type=block_type, file_len=file_len)
    with wkw.Dataset.create(str(folder), header) as dataset:
        if block_type == 1:
            dataset.write(start, np.asfortranarray(data))
        else:  # whole shards only
            side = 32 * file_len
            first = [s // side * side for s in start]
            whole = [-(-(s + n) // side) * side - f for s, n, f in zip(start, data.shape[1:], first, strict=True)]
            padded = np.zeros((data.shape[0], *whole), data.dtype, order="F")
            padded[:, *(slice(s - f, s - f + n) for s, f, n in zip(start, first, data.shape[1:], strict=True))] = data
            dataset.write(first, padded)
    return folder


def put_mag(folder, data, start, file_len, block_type):
    """Raw by the reference library; compressed by hand: that library wants all of a cube of 1024 in memory."""
    wkw = pytest.importorskip("wkw")
    side = 32 * file_len
    if block_type == 1:
        header = wkw.Header(data.dtype, len(data), block_len=32, file_len=file_len, block_type=1)
        with wkw.Dataset.create(str(folder), header) as opened:
            opened.write(start, np.asfortranarray(data))
        return
    spans = [range(a // side, (a + n - 1) // side + 1) for a, n in zip(start, data.shape[1:], strict=True)]
    head = b"WKW\1" + bytes([file_len.bit_length() - 1 << 4 | 5, block_type, 1, len(data)])
    assert data.dtype == np.uint8
    folder.mkdir(parents=True)
    (folder / "header.wkw").write_bytes(head + bytes(8))
    for x, y, z in product(*spans):
        path = folder / f"z{z}" / f"y{y}" / f"x{x}.wkw"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            head + compressed(data, tuple(a - side * n for a, n in zip(start, (x, y, z), strict=True)), file_len)
        )


def compressed(data, start, file_len):
    """Jump table and LZ4 blocks of a shard, in Morton order, with the voxels that begin at `start` of it."""
    from lz4.block import compress

    c, *shape = data.shape
    empty = compress(bytes(c << 15), store_size=False)
    whole = np.zeros((c, *(32 * (-(-max(a + n, 0) // 32)) for a, n in zip(start, shape, strict=True))), data.dtype)
    inside = tuple(slice(max(a, 0), a + n) for a, n in zip(start, shape, strict=True))
    whole[:, *inside] = data[:, *(slice(max(-a, 0), None) for a in start)]
    parts, ends, end = [], [], 16 + 8 * file_len**3
    for number in range(file_len**3):
        corner = [sum((number >> 3 * bit + axis & 1) << bit for bit in range(6)) * 32 for axis in range(3)]
        block = whole[:, *(slice(a, a + 32) for a in corner)]
        filled = block.size and block.shape[1:] == (32, 32, 32)
        parts.append(compress(block.tobytes("F"), mode="high_compression", store_size=False) if filled else empty)
        end += len(parts[-1])
        ends.append(end)
    return struct.pack("<Q", 16 + 8 * file_len**3) + struct.pack(f"<{len(ends)}Q", *ends) + b"".join(parts)


def make_peers(folder, peer):
    """By the peer: compressed and raw layers, coarser mags of its own, a voxel size in µm."""
    layers = {}
    for name, compress, shard, mags in (
        ("em", True, 64, ["1", "2-2-1"]),
        ("rgb", False, 64, []),
        ("ids", False, 32, ["1", "2-2-1"]),
        ("height", True, 128, []),
    ):
        data, category, start = LAYERS[name]
        path = Path(f"{folder}-{name}.npy")
        np.save(path, data)
        largest = int(data.max()) if category == "segmentation" else None
        given = {"category": category, "start": start, "compress": compress, "shard": shard, "mags": mags}
        layers[name] = {"voxels": str(path), "largest": largest, **given}
    peer.ask("make", path=str(folder), size=[0.01124, 0.01124, 0.028], unit="micrometer", layers=layers)
    return folder
