import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import paths
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from wkconvert_core.contract.geometry import Box, Vec3
from wkconvert_core.contract.model import VolumeInfo
from wkconvert_core.sources.category import PLACES, SAMPLE_VOXELS, by_look, by_name, classify, sample_boxes, words

SAMPLES = paths.SAMPLES

Volume = np.ndarray[Any, np.dtype[Any]]
SIDE = 400


@dataclass
class Held:
    """A source that holds its voxels and remembers what was read."""

    data: Volume
    chunk: Vec3 | None = None
    reads: list[Box] = field(default_factory=list)

    @property
    def info(self) -> VolumeInfo:
        c, x, y, z = self.data.shape
        return VolumeInfo((x, y, z), self.data.dtype, c, chunk_shape=self.chunk)

    def read(self, box: Box) -> Volume:
        assert box in self.info.box
        self.reads.append(box)
        return self.data[(slice(None), *box.slices_in(self.info.box))]


def stack(*planes: Volume) -> Held:
    """Slices `[x, y]` as a source whose chunks are slices."""
    data = np.stack(planes, -1)[None]
    return Held(data, (data.shape[1], data.shape[2], 1))


@functools.cache
def cells(number: int, seed: int = 0, ordered: bool = False) -> Volume:
    points = np.random.default_rng(seed).random((number, 2)) * SIDE
    points = points[np.argsort(points[:, 1])] if ordered else points
    grid = np.indices((SIDE, SIDE)).reshape(2, -1).T
    return cKDTree(points).query(grid)[1].reshape(SIDE, SIDE)


@functools.cache
def discs(number: int, radius: float, seed: int = 0) -> Volume:
    rng, plane = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.int64)
    x, y = np.indices(plane.shape)
    for i in range(number):
        (a, b), r = rng.random(2) * SIDE, radius * (0.5 + rng.random())
        plane[(x - a) ** 2 + (y - b) ** 2 < r * r] = i + 1
    return plane


@functools.cache
def em(noise: float = 12, seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 3)
    return np.clip(smooth / smooth.std() * 30 + 130 + rng.standard_normal(smooth.shape) * noise, 0, 255).astype("u1")


def padded(background: int) -> Volume:
    plane = np.full((SIDE, SIDE), background, np.uint8)
    plane[180:230, 100:160] = em()[:50, :60]
    return plane


def enlarged() -> Volume:
    """EM whose pixels were doubled, in a black frame: nothing in it stands alone, and most neighbours are equal."""
    plane = np.zeros((SIDE, SIDE), np.uint8)
    plane[:100, :100] = np.kron(em()[:50, :50], np.ones((2, 2), np.uint8))
    return plane


def dithered() -> Volume:
    """A picture of black, white and little grey, which is made of dots."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 12)
    return rng.random((SIDE, SIDE)) < smooth / smooth.std() * 2 + 0.5


def nuclei(amplitude: float, base: float, noise: float) -> Volume:
    blurred = ndimage.gaussian_filter(discs(40, 12) > 0, 2.0, output=np.float64)
    return (base + blurred * amplitude + np.random.default_rng(0).standard_normal(blurred.shape) * noise).clip(0)


@functools.cache
def edges(width: int) -> Volume:
    plane = cells(60)
    return ndimage.maximum_filter(plane, width) != ndimage.minimum_filter(plane, width)


def random(kind: str, high: int) -> Volume:
    return np.random.default_rng(0).integers(0, high, (SIDE, SIDE)).astype(kind)


PICTURES: dict[str, Callable[[], Volume]] = {
    "EM": em,
    "EM without noise": lambda: em(0),
    "EM in a big black frame": lambda: padded(0),
    "EM in a big white frame": lambda: padded(255),
    "EM masked by cells": lambda: np.where(discs(12, 40) > 0, em(), 0).astype(np.uint8),
    "EM with a median filter": lambda: ndimage.median_filter(em(), 9),
    "EM of 16 grey values": lambda: em(6) // 16 * 16,
    "EM of 8 grey values": lambda: em(6) // 32 * 32,
    "EM as uint32": lambda: em(6).astype(np.uint32) * 7,
    "EM as int32 with negative values": lambda: em(6).astype(np.int32) * 7 - 300,
    "photons, few": lambda: np.random.default_rng(0).poisson(0.02, (SIDE, SIDE)).astype(np.uint16),
    "photons, some": lambda: np.random.default_rng(0).poisson(0.5, (SIDE, SIDE)).astype(np.uint16),
    "nuclei, uint16, low noise": lambda: nuclei(3000, 100, 3).astype(np.uint16),
    "nuclei, uint16, no noise": lambda: nuclei(3000, 100, 0).astype(np.uint16),
    "nuclei, uint8, no noise": lambda: nuclei(255, 0, 0).astype(np.uint8),
    "nuclei, background subtracted": lambda: nuclei(3000, -60, 20).astype(np.uint16),
    "a gradient in plateaus": lambda: (np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 8).astype(np.uint16),
    "probabilities": lambda: ndimage.gaussian_filter(cells(40) % 2 * 255.0, 1.5).astype(np.uint8),
    "noise": lambda: random("u1", 256),
    "EM enlarged, in a black frame": enlarged,
    "a dithered picture": lambda: em(30) > 130,
    "a dithered picture, mostly black and white": dithered,
    "nothing, uint8": lambda: np.zeros((SIDE, SIDE), np.uint8),
    "nothing, uint16": lambda: np.full((SIDE, SIDE), 7, np.uint16),
}

LABELS: dict[str, Callable[[], Volume]] = {
    "cells, uint8": lambda: cells(60).astype(np.uint8),
    "cells, uint16 ids far apart": lambda: (cells(60) * 37).astype(np.uint16),
    "cells, uint32 hashed": lambda: (cells(60) * 2654435761 % 2**32).astype(np.uint32),
    "cells, uint64 above 2^63": lambda: cells(60).astype(np.uint64) + np.uint64(2**63),
    "cells, int16": lambda: (cells(60) % 20).astype(np.int16),
    "cells, int32, unassigned is -1": lambda: np.where(edges(3), -1, cells(60)).astype(np.int32),
    "cells numbered in order": lambda: cells(200, ordered=True).astype(np.uint16),
    "cells, 5000 small ones": lambda: cells(5000).astype(np.uint16),
    "cells, ids modulo 256": lambda: (cells(1000) % 256).astype(np.uint8),
    "cells with borders of 0": lambda: np.where(edges(3), 0, cells(60) + 1).astype(np.uint16),
    "blocks in raster order": lambda: np.kron(np.arange(400).reshape(20, 20), np.ones((20, 20))).astype(np.uint16),
    "few discs on much background": lambda: discs(15, 8).astype(np.uint16),
    "one disc": lambda: discs(1, 20).astype(np.uint8),
    "tiny discs": lambda: discs(60, 3).astype(np.uint16),
    "a mask of 0 and 255": lambda: ((discs(30, 10) > 0) * 255).astype(np.uint8),
    "a mask of 0 and 1": lambda: (discs(30, 10) > 0).astype(np.uint8),
    "a mask, bool": lambda: discs(30, 10) > 0,
    "a mask of thin membranes": lambda: edges(2).astype(np.uint8),
    "a mask of thick membranes": lambda: edges(3).astype(np.uint8) * 255,
    "classes": lambda: (cells(60) % 5).astype(np.uint8),
    "a thresholded picture": lambda: ndimage.median_filter(em(30) > 130, 5).astype(np.uint8),
    "unrelated 32-bit values": lambda: random("u4", 2**30),
    "nothing, uint32": lambda: np.zeros((SIDE, SIDE), np.uint32),
    "nothing, uint64": lambda: np.zeros((SIDE, SIDE), np.uint64),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_are_color(kind: str) -> None:
    plane = PICTURES[kind]()
    decision = classify(stack(plane, plane[::-1], plane.T, plane[:, ::-1], plane))
    assert decision.category == "color", decision.reason


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_segmentation(kind: str) -> None:
    plane = LABELS[kind]()
    decision = classify(stack(plane, plane[::-1], plane.T, plane[:, ::-1], plane))
    assert decision.category == "segmentation", decision.reason


def test_slices_that_are_constant_tell_nothing() -> None:
    decision = classify(stack(*[np.full((64, 64), z, np.uint8) for z in range(9)]))
    assert decision.category == "color"
    assert "no two neighbours differ" in decision.reason


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (7, 1, 1), (2, 2, 2), (3, 1000, 2)])
def test_small_and_thin_volumes_get_an_answer(shape: Vec3) -> None:
    data = np.random.default_rng(0).integers(0, 200, (1, *shape)).astype(np.uint8)
    assert classify(Held(data)).category == "color"


def test_the_option_beats_the_hint_beats_the_name_beats_the_data() -> None:
    source = stack(em(), em())
    assert classify(source, option="segmentation", hint="color", names=["raw"]).category == "segmentation"
    assert classify(source, hint="segmentation", names=["raw"]).category == "segmentation"
    assert classify(source, names=["labels"]).category == "segmentation"
    assert source.reads == []
    assert classify(source).category == "color"


@pytest.mark.parametrize(
    ("names", "category"),
    [
        (["segmentation"], "segmentation"),
        (["seg_v2"], "segmentation"),
        (["neuronLabels_001"], "segmentation"),
        (["LABELS2019"], "segmentation"),
        (["GTMasks"], "segmentation"),
        (["color"], "color"),
        (["rawEM"], "color"),
        (["EMStack-03"], "color"),
        (["em256"], "color"),
        (["my images"], "color"),
        (["volume", "labels_001"], "segmentation"),
        (["em_segmentation"], None),
        (["em_segmentation", "img_0001"], "color"),
        (["segway", "theme", "museum", "drawer", "colorado", "kids"], None),
        (["éem"], None),
        (["cells", "stack", "slice_0001", "roi_5"], None),
        ([], None),
        (["", "123"], None),
    ],
)
def test_whole_words_in_the_first_telling_name_decide(names: list[str], category: str | None) -> None:
    decision = by_name(names)
    assert (decision and decision.category) == category


@given(st.text())
def test_the_words_of_a_name_are_all_but_its_digits_and_signs(name: str) -> None:
    assert "".join(words(name)) == "".join(char.lower() for char in name if char.isalnum() and not char.isdecimal())


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "c8"])
def test_fractions_are_color_and_are_not_read(kind: str) -> None:
    source = stack(cells(5).astype(kind))
    assert classify(source).category == "color"
    assert source.reads == []


def test_several_channels_are_color_and_are_not_read() -> None:
    source = Held(np.zeros((3, 8, 8, 8), np.uint8))
    assert classify(source) == classify(source)
    assert "3 channels" in classify(source).reason
    assert source.reads == []


def test_the_reason_gives_the_numbers() -> None:
    plane = cells(60).astype(np.uint8)
    reason = classify(stack(plane, plane, plane)).reason
    assert re.fullmatch(
        r"voxels lie in areas .*\(9\d% of a typical value's neighbours equal it, 60 values in 3 samples\)", reason
    )


def test_a_stack_costs_three_slices_and_an_empty_one_at_most_seven() -> None:
    full, empty = stack(*[em()] * 50), stack(*[np.zeros((SIDE, SIDE), np.uint8)] * 50)
    by_look(full)
    by_look(empty)
    assert len({box.start[2] for box in full.reads}) == len(full.reads) == 3
    assert len(empty.reads) == len(PLACES) == 7


def test_a_picture_behind_empty_slices_is_found() -> None:
    blank = np.zeros((SIDE, SIDE), np.uint16)
    planes = [blank] * 60
    for z in range(36, 42):
        planes[z] = cells(30).astype(np.uint16)
    assert by_look(stack(*planes)).category == "segmentation"


def test_a_volume_that_is_one_chunk_is_decoded_once() -> None:
    source = Held(np.zeros((1, 64, 64, 50), np.uint8), (64, 64, 50))
    by_look(source)
    assert [box.shape[2] for box in source.reads] == [50]


def sizes(most: int) -> st.SearchStrategy[Vec3]:
    return st.tuples(*[st.integers(1, most)] * 3)


@given(sizes(5000), st.none() | sizes(6000))
def test_samples_are_inside_small_and_in_chunks_of_their_own(shape: Vec3, chunk: Vec3 | None) -> None:
    info = VolumeInfo(shape, np.dtype(np.uint8), chunk_shape=chunk)
    boxes = list(sample_boxes(info))
    assert 1 <= len(boxes) <= len(PLACES)
    assert all(box in info.box and 0 < box.volume <= SAMPLE_VOXELS for box in boxes)
    assert all(a.intersection(b).volume == 0 for i, a in enumerate(boxes) for b in boxes[:i])
    if chunk:
        grid = (max(chunk[0], 512), max(chunk[1], 512), chunk[2])
        assert all(box.count_tiles(chunk) <= -(-grid[0] // chunk[0]) * -(-grid[1] // chunk[1]) for box in boxes)


def test_the_decision_does_not_depend_on_the_run() -> None:
    source = stack(*[em(seed=z) for z in range(5)])
    assert {by_look(source) for _ in range(3)} == {by_look(stack(*[em(seed=z) for z in range(5)]))}


def sample_planes(path: Path) -> Iterator[Volume]:
    """The pages of a sample file as planes `[x, y]`, in their own dtype."""
    if path.suffix in (".tif", ".tiff"):
        data = pytest.importorskip("tifffile").imread(path)
    else:
        data = pytest.importorskip("imageio.v3").imread(path)
    data = data.reshape(-1, *data.shape[-2:]) if data.ndim == 2 or data.shape[-1] > 4 else data[None, ..., 0]
    return iter(data.transpose(0, 2, 1))


@paths.needs_samples
@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("tiff/em_slice_265_lzw.tiff", "color"),
        ("tiff/labels_uint32_multipage.tif", "segmentation"),
        ("tiff/single-channel.ome.tiff", "color"),
        ("tiff/yxq_250x250x1.tif", "color"),
        ("tiff/big_endian_u16.tif", "color"),
        ("tiff/variants/12bit.cropped.tif", "color"),
        ("tiff/variants/16bit.MM.deflate.tif", "color"),
        ("tiff/calibrated/test_loading_image_saved_with_DM.tif", "color"),
        ("images/hopper_bw_500.png", "color"),
        ("images/hopper_gray.jpg", "color"),
        ("images/hopper.png", "color"),
        ("images/pal8.bmp", "color"),
        ("tiles/temca2/1/60/140.jpg", "color"),
        ("tiles/temca2/2/61/141.jpg", "color"),
        ("tiles/temca2/40/61/144.jpg", "color"),
    ],
)
def test_real_files_are_told_apart_by_their_voxels_alone(name: str, category: str) -> None:
    decision = by_look(stack(*sample_planes(SAMPLES / name)))
    assert decision.category == category, decision.reason


@paths.needs_samples
def test_a_real_knossos_cube_is_color() -> None:
    (path,) = (SAMPLES / "knossos").rglob("*.raw")
    cube = np.fromfile(path, np.uint8).reshape(1, 128, 128, 128).transpose(0, 3, 2, 1)
    assert by_look(Held(cube, (128, 128, 128))).category == "color"
