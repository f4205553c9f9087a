"""Small sound files of every format and kind, which the mutants are made of."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import cubes_of
import dm_files
import hdf5_files
import mrc_files
import nibabel
import numpy as np
import tifffile
import trees_of
from imagecodecs import jpeg2k_encode, jpegxl_encode
from PIL import Image

from wkconvert_core.testing import noise

Tree = dict[str, bytes]
"""Files by their path below a folder. What begins with `MARK` is none: a FIFO, a folder, or a link to what follows."""
MARK = b"\0no file: "
FOLDER, FIFO, LINK = (MARK + kind for kind in (b"folder", b"fifo", b"link "))


@dataclass(frozen=True)
class Seed:
    """What the program is pointed at, `entry` below the files' folder, and the options that it needs."""

    files: Tree
    entry: str = ""
    options: dict[str, str] = field(default_factory=dict)


def planted(tree: Tree, folder: Path) -> Path:
    """Write a tree into a folder; names that the system refuses are left out."""
    for name, content in tree.items():
        try:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content == FOLDER:
                path.mkdir()
            elif content == FIFO:
                os.mkfifo(path)
            elif content.startswith(LINK):
                path.symlink_to(os.fsdecode(content[len(LINK) :]))
            else:
                path.write_bytes(content)
        except (OSError, ValueError):
            continue
    return folder


def taken(folder: Path) -> Tree:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def of(write: Callable[[Path], object], entry: str = "", **options: str) -> Seed:
    """A seed of the files that a function writes into a folder."""
    with TemporaryDirectory() as folder:
        write(Path(folder))
        return Seed(taken(Path(folder)), entry, options)


def _tiff(data: np.ndarray, **options: object) -> Seed:
    out = io.BytesIO()
    tifffile.imwrite(out, data, **options)
    return Seed({"a.tif": out.getvalue()}, "a.tif")


def _picture(suffix: str, data: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(data).save(out, {"jpg": "jpeg", "jp2": "jpeg2000"}.get(suffix, suffix), **options)
    return out.getvalue()


def tiff() -> list[Seed]:
    grey, rgb, pages, many = noise(24, 33), noise(24, 33, 3), noise(4, 24, 33), noise(3, 2, 24, 33, dtype="uint16")
    ome = {"axes": "ZCYX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["a", "b"]}}
    plain = {"metadata": None, "photometric": "minisblack"}
    colors = {"metadata": None, "photometric": "rgb"}
    stack = {f"s{number}.tif": _tiff(page, **plain).files["a.tif"] for number, page in enumerate(pages)}
    single = _tiff(grey, description="Slice", **plain).files["a.tif"]
    return [
        _tiff(grey, **plain),
        _tiff(many, ome=True, metadata=ome),
        _tiff(many, imagej=True, metadata={"axes": "ZCYX", "spacing": 2}),
        _tiff(pages, photometric="minisblack"),
        _tiff(pages, bigtiff=True, compression="zlib", **plain),
        _tiff(pages.astype("float32"), **plain),
        _tiff(rgb, planarconfig="separate", **colors),
        _tiff(rgb, compression="lzw", **colors),
        _tiff(noise(40, 50), tile=(16, 16), byteorder=">", **plain),
        _tiff(grey, metadata=None, photometric="palette", colormap=noise(3, 256, dtype="uint16")),
        _tiff(noise(2, 24, 33), extrasamples=[], resolution=(100, 100), resolutionunit=3),
        Seed(stack),
        Seed({"em/a0.tif": single, "em/a1.tif": single, "labels/x.tif": single}),
    ]


def pictures() -> list[Seed]:
    grey, rgb = noise(24, 33), noise(24, 33, 3)
    seeds = [
        {f"s{n}.{suffix}": _picture(suffix, data) for n in range(3)}
        for suffix in ("png", "jpg", "bmp", "jp2", "webp", "avif", "gif", "ppm")
        for data in (grey, rgb)
    ]
    seeds += [{"a.png": _picture("png", data)} for data in (noise(24, 33, dtype="uint16"), noise(24, 33, 4), grey > 99)]
    seeds += [{"a.jxl": jpegxl_encode(data, lossless=True)} for data in (grey, rgb)]
    seeds += [{"a.jp2": jpeg2k_encode(noise(24, 33, dtype="uint16"), level=0)}]
    return [Seed(files) for files in seeds]


def dm() -> list[Seed]:
    arrays = [noise(5, 9), noise(3, 5, 9, dtype="uint16"), noise(3, 5, 9, dtype="float32")]
    scales = [(4.0, "nm"), (4.0, "nm"), (35.0, "nm")]
    roots = [
        (dm_files.tree(dm_files.image(data, scales=scales[: data.ndim])), flavour)
        for data in arrays
        for flavour in dm_files.FLAVOURS
    ]
    single = [Seed({f"a.dm{v}": dm_files.encode(root, v, order)}, f"a.dm{v}") for root, (v, order) in roots]
    slices = [dm_files.encode(dm_files.tree(dm_files.image(arrays[0])))] * 3
    return [*single, Seed({f"s{n}.dm3": data for n, data in enumerate(slices)})]


def hdf5() -> list[Seed]:
    stored = noise(6, 9, 10, dtype="uint16")
    packed = {"chunks": (2, 9, 10), "compression": "gzip", "fletcher32": True}
    dims = [(axis, "nm", 4.0) for axis in "zyx"]
    return [
        of(lambda folder: hdf5_files.plain(folder / "a.h5", stored), "a.h5"),
        of(lambda folder: hdf5_files.ilastik(folder / "a.h5", stored, "zyx", **packed), "a.h5"),
        of(lambda folder: hdf5_files.matlab(folder / "a.mat", stored), "a.mat"),
        of(lambda folder: hdf5_files.imaris(folder / "a.ims", [stored], chunk=(2, 4, 4)), "a.ims"),
        of(lambda folder: hdf5_files.spim(folder / "a", [np.tile(stored, (2, 1, 1))], levels=1), "a.xml"),
        of(lambda folder: hdf5_files.velox(folder / "a.emd", {"HAADF": stored[..., :1]}), "a.emd"),
        of(lambda folder: hdf5_files.berkeley(folder / "a.emd", stored, dims), "a.emd"),
    ]


def mrc() -> list[Seed]:
    stored = [noise(3, 5, 9), noise(3, 5, 9, dtype="int16"), noise(3, 5, 9, dtype="float32")]
    found = [
        of(lambda folder, data=data, order=order: mrc_files.write(folder / "a.mrc", data, order), "a.mrc")
        for data in stored
        for order in "<>"
    ]
    packed = of(
        lambda folder: mrc_files.write(folder / "a.st", stored[0].tobytes(), lengths=(17, 5, 3), mode=101), "a.st"
    )
    turned = of(
        lambda folder: mrc_files.write(folder / "a.map", stored[2], axes=(3, 1, 2), extended=bytes(80)), "a.map"
    )
    return [*found, packed, turned]


def nifti() -> list[Seed]:
    found = []
    for version, kind, pair in (
        (1, nibabel.Nifti1Image, nibabel.Nifti1Pair),
        (2, nibabel.Nifti2Image, nibabel.Nifti2Pair),
    ):
        for dtype in ("uint8", "int16", "float32"):
            data = noise(7, 6, 5, dtype=dtype)
            for suffix in (".nii", ".nii.gz"):
                made = kind(data, np.diag([-2.0, 3, 4, 1]))
                made.header.set_xyzt_units("mm")
                found.append(
                    of(lambda folder, made=made, suffix=suffix: made.to_filename(folder / f"a{suffix}"), f"a{suffix}")
                )
        both = pair(noise(7, 6, 5, dtype="int16"), np.diag([2.0, 3, 4, 1]))
        found.append(
            of(lambda folder, both=both: both.to_filename(folder / "a.hdr"), f"{'a.hdr' if version == 1 else ''}")
        )
    analyze = nibabel.AnalyzeImage(noise(7, 6, 5, dtype="int16"), np.eye(4))
    return [*found, of(lambda folder: analyze.to_filename(folder / "a.hdr"), "a.hdr")]


TOML = """[[Layer]]
Name = "ex_mag1"
FileExtension = [".raw"]
Extent_px = [40, 20, 25]
VoxelSize_nm = [[10, 10, 25.5]]
CubeShape_px = [16, 16, 16]
"""


def knossos() -> list[Seed]:
    def cubes(folder: Path, suffix: str, toml: bool = False) -> None:
        dtype = "uint64" if suffix == ".seg.sz.zip" else "uint8"
        cubes_of.save_volume(folder / "mag1", cubes_of.noise((40, 20, 25), dtype), suffix, 16, skip=[(1, 1, 0)])
        name, text = ("ex.k.toml", TOML) if toml else ("mag1/knossos.conf", cubes_of.conf_text((40, 20, 25), edge=16))
        (folder / name).write_text(text)

    kinds = [(suffix, False) for suffix in cubes_of.SAVE] + [(".raw", True)]
    return [of(lambda folder, kind=kind: cubes(folder, *kind)) for kind in kinds]


def tiles() -> list[Seed]:
    slices = trees_of.noise(3, 30, 40)
    names = [*trees_of.CATMAID.values(), "z{z}_y{y}_x{x}.png", "{z}/{y}_{x}.jpg", "{z}/{y}/{x}.tif"]
    trees = [of(lambda folder, name=name: trees_of.plant(folder, slices, (16, 12), name=name)) for name in names]
    asked = of(
        lambda folder: trees_of.plant(folder, slices, (16, 12), name="{x}/{z}/{y}.png"), pattern="{x}/{z}/{y}.png"
    )
    return [*trees, asked]


def raw() -> list[Seed]:
    data = noise(5, 6, 7, dtype="uint16").tobytes()
    pyhst = b"NUM_X = 7\nNUM_Y = 6\nNUM_Z = 5\nvoxelSize = 0.5\nBYTEORDER = LOWBYTEFIRST\n"
    scivis = json.dumps({"size": [7, 6, 5], "type": "uint16", "spacing": [1, 1, 2], "name": "a"}).encode()
    return [
        Seed({"a.vol": data, "a.vol.info": pyhst}, "a.vol"),
        Seed({"a.raw": data, "a.json": scivis}, "a.raw"),
        Seed({"a_7x6x5_uint16.raw": data}, "a_7x6x5_uint16.raw"),
        Seed({"em/a_7x6x5_uint16.raw": data, "labels/b_7x6x5_uint8.raw": data[:210]}),
    ]


def itk() -> list[Seed]:
    import itks  # skips a whole module that imports it where SimpleITK is missing, as those below do

    grey, vectors = noise(7, 6, 5, dtype="int16"), noise(3, 7, 6, 5)
    names = ("a.nrrd", "a.nhdr", "a.mha", "a.mhd")
    kinds = [(name, packed) for name in names for packed in (False, True)]
    found = [
        of(lambda folder, kind=kind: itks.saved(folder / kind[0], grey, packed=kind[1]), kind[0]) for kind in kinds
    ]
    return [*found, of(lambda folder: itks.saved(folder / "a.nrrd", vectors, is_vector=True), "a.nrrd")]


def dicom() -> list[Seed]:
    import itks

    grey, places = noise(7, 6, 3, dtype="int16"), [(0, 0, 2 * z) for z in range(3)]
    return [
        of(lambda folder: itks.series(folder / "s", grey, names="{:03}.dcm"), "s"),
        of(lambda folder: itks.enhanced(folder / "a.dcm", grey, places), "a.dcm"),
    ]


def zarr() -> list[Seed]:
    import images
    import zarrs

    grey, ids = noise(9, 10, 11, dtype="uint16"), noise(9, 10, 11, 1, dtype="uint64")
    parts = {"chunks": (4, 4, 4)}
    labels = {"kind": "segmentation", "encoding": "compressed_segmentation"}
    blocks = {"compressed_segmentation_block_size": [8, 8, 8]}
    writes: list[Callable[[Path], object]] = [
        lambda to: zarrs.saved(to, grey, axes="zyx", **parts),
        lambda to: zarrs.saved(to, grey, axes="zyx", shards=(8, 8, 8), **parts),
        lambda to: images.array(to, grey, version=2, **parts),
        lambda to: images.ome(to, [grey, grey[::2, ::2, ::2]]),
        lambda to: images.ome(to, [grey, grey[::2, ::2, ::2]], version="0.4"),
        lambda to: images.n5(to, grey, block=8, resolution=[4, 5, 40], units="nm"),
        lambda to: images.n5(to, grey, block=8, compression={"type": "raw"}),
        lambda to: images.precomputed(to, [ids[..., :1].astype("uint8")]),
        lambda to: images.precomputed(to, [ids], **labels, **blocks),
    ]
    return [of(lambda folder, write=write: write(folder / "a"), "a") for write in writes]


def ncem() -> list[Seed]:
    import test_ncem

    slices = [noise(9, 6, dtype="int16", seed=seed) for seed in range(3)]
    return [
        of(lambda folder: test_ncem.ser(folder / "a_1.ser", slices), "a_1.ser"),
        of(lambda folder: test_ncem.ser(folder / "a_1.ser", slices[:1]), "a_1.ser"),
        of(lambda folder: test_ncem.smv(folder / "a.img", noise(9, 6, dtype="uint16")), "a.img"),
    ]


def npy() -> list[Seed]:
    grey = noise(5, 6, 7, dtype="uint16")
    arrays = [grey, np.asfortranarray(grey), grey.astype(">f4"), noise(5, 6, 7) > 99]
    files = [of(lambda folder, data=data: np.save(folder / "a.npy", data), "a.npy") for data in arrays]
    return [*files, *[of(lambda to, save=save: save(to / "a.npz", a=grey), "a.npz") for save in NPZ]]


NPZ = (np.savez, np.savez_compressed)

FORMATS: dict[str, Callable[[], list[Seed]]] = {
    made.__name__: made
    for made in (tiff, pictures, dm, hdf5, mrc, nifti, knossos, tiles, raw, itk, dicom, zarr, ncem, npy)
}
