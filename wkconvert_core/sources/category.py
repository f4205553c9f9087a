"""Color or segmentation: decided by the user, the reader, a word in a name, or the values; reproducibly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box, Vec3, Vec3Like
from wkconvert_core.contract.model import Category, Source, VolumeInfo
from wkconvert_core.contract.numbers import ceil_div

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType


def words(name: str) -> Iterator[str]:
    """The words of a name in lower case, split at everything but letters and at camelCase.

    >>> list(words("rawEM_01-labelMap"))
    ['raw', 'em', 'label', 'map']
    """
    for run in re.findall(r"[^\W\d_]+", name):
        yield from (word.lower() for word in re.split(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", run))


SEGMENTATION_WORDS = frozenset(
    words(
        "seg segs segm segment segments segmented segmentation segmentations label labels labeled labelled labeling "
        "labelling labelmap mask masks annotation annotations annotated ids gt groundtruth watershed supervoxel "
        "supervoxels agglomeration agglomerations"
    )
)
"""Words for labels. Not `cells`, `nuclei`, `neurons`, `roi`: images of these are named after them, too."""

COLOR_WORDS = frozenset(
    words(
        "color colors colour colours raw em sem tem sbem sbfsem fib fibsem sstem image images img imgs intensity "
        "intensities grey gray greyscale grayscale rgb fluorescence fluo confocal lightsheet microscopy micrograph "
        "micrographs ct microct xray mri dapi gfp yfp rfp mcherry"
    )
)
"""Words for images. Not `stack`, `slice`, `channel`: labels come in these, too. Not `stem`: brains have one."""


@dataclass(frozen=True)
class Decision:
    """A layer's category, and why."""

    category: Category
    reason: str
    """For people: `values vary from voxel to voxel, as in images (3% …)`."""

    def __str__(self) -> str:
        """`segmentation: the name 'labels' says so`."""
        return f"{self.category}: {self.reason}"


def classify(
    source: Source, *, option: Category | None = None, hint: Category | None = None, names: Iterable[str] = ()
) -> Decision:
    """Decide whether a layer is color or segmentation.

    The first that is conclusive counts: `option` (the user), `hint` (the reader), a word in one of `names` (of the
    layer's folder, then of its files), the dtype, the values in a few small boxes. Reads at most `len(PLACES)` boxes,
    each in a chunk of its own; raises what `source.read` raises.
    """
    if option is not None:
        return Decision(option, "asked for")
    if hint is not None:
        told = by_name(names)
        return told if told and told.category == hint else Decision(hint, "the file says so")
    return by_name(names) or by_kind(source.info) or by_look(source)


def by_name(names: Iterable[str]) -> Decision | None:
    """Decide by the first name with words of one kind only; None if there is none.

    >>> print(by_name(["labels_of_raw_data", "neuron_segmentation"]))
    segmentation: 'neuron_segmentation' has the word 'segmentation'
    """
    for name in names:
        said = set(words(name))
        labels, colors = said & SEGMENTATION_WORDS, said & COLOR_WORDS
        found: Category = "segmentation" if labels else "color"
        if bool(labels) != bool(colors):
            word = min(labels or colors)
            return Decision(found, "its name says so" if word == name.lower() else f"{name!r} has the word {word!r}")
    return None


def by_kind(info: VolumeInfo) -> Decision | None:
    """Decide by dtype and number of channels, None if they allow both: labels are one whole number per voxel.

    >>> print(by_kind(VolumeInfo((9, 9, 9), np.dtype("float32"))))
    color: float32 holds intensities
    """
    if info.channels > 1:
        return Decision("color", f"{info.channels} channels")
    if info.dtype.kind not in "bui":
        return Decision("color", f"{info.dtype} holds intensities")
    return None


def is_for_labels(name: str) -> bool:
    """Whether a name says nothing but labels, as that of a folder of them does.

    >>> is_for_labels("labelsTr"), is_for_labels("segmentation_test"), is_for_labels("cells")
    (True, False, False)
    """
    said = {word for word in words(name) if len(word) > 2}
    return bool(said) and said <= SEGMENTATION_WORDS


# --- looking at the data ---------------------------------------------------------------------------------------------

PLACES = (
    (0.5, 0.5, 0.5),
    (0.35, 0.6, 0.2),
    (0.65, 0.4, 0.8),
    (0.2, 0.25, 0.65),
    (0.8, 0.75, 0.35),
    (0.25, 0.8, 0.05),
    (0.75, 0.2, 0.95),
)
"""Where samples are taken, as fractions of the extent along x, y, z."""

ALWAYS = 3
"""The number of samples that are always taken; more only while nearly all voxels are background."""
WINDOW = 512
"""Side of a sample in x and y if chunks are smaller."""
SAMPLE_VOXELS = WINDOW * WINDOW
ENOUGH = 2_000
"""Foreground voxels, unlike the most common value, from which on no more samples are taken."""

FLAT = 0.7
"""Share of equal neighbours from which a value forms plateaus. Labels have 0.74 (lines one voxel thin) to 0.98, EM
0.02 to 0.5, EM cut to 8 grey values 0.66."""
SPECKLED = 0.15
"""Single voxels per four unequal pairs of neighbours: labels have at most 0.02, dithered pictures 0.3 to 0.7."""
SHADED = 0.75
"""Share of unequal neighbours that are next or next but one in rank: labels have at most 0.5, smooth pictures 0.9."""
NEAR = 0.15
"""Mean rank distance of unequal neighbours per number of values: unrelated ids have 1/3, intensities under 0.1."""
SHADES = 8
"""Fewer values than this are always close in rank."""


@dataclass(frozen=True)
class Look:
    """Statistics of a few slices taken together."""

    samples: int
    values: int
    """Number of distinct values."""
    flatness: float
    """Share of a value's neighbours that equal it, median over all values: a large background counts as one value."""
    edges: int
    """Number of unequal pairs of neighbours."""
    speckle: float
    """Voxels unlike all four neighbours, per four unequal pairs."""
    shading: float
    """Share of the unequal pairs that are one or two ranks apart."""
    distance: float
    """Mean distance in rank of the unequal pairs, per number of values."""
    negatives: int
    """Number of distinct values below 0."""

    @property
    def where(self) -> str:
        """`3 samples`."""
        return f"{self.samples} sample{'s' * (self.samples != 1)}"

    def __str__(self) -> str:
        """The numbers, for people."""
        return f"{self.flatness:.0%} of a typical value's neighbours equal it, {self.values} values in {self.where}"


def by_look(source: Source) -> Decision:
    """Decide by the values of a few samples: labels form plateaus, and neighbouring plateaus have unrelated values."""
    slices: list[Array] = []
    number = 0
    for number, box in enumerate(sample_boxes(source.info), 1):
        slices += _slices(source.read(box)[0])
        if number >= ALWAYS and _foreground(slices) >= ENOUGH:
            break
    return verdict(look(slices, number), source.info.dtype)


def verdict(seen: Look, dtype: DType) -> Decision:
    """Turn statistics into a decision; `dtype` decides if they show nothing, or nothing but noise."""
    ids = dtype.kind == "u" and dtype.itemsize >= 4
    if not seen.edges:
        category: Category = "segmentation" if ids or dtype.kind == "b" else "color"
        return Decision(category, f"no two neighbours differ in {seen.where}, and {dtype} is mostly {category}")
    if seen.negatives > 1:
        return Decision("color", f"{seen.negatives} distinct negative values in {seen.where}")
    if seen.values > SHADES and seen.shading > SHADED:
        return Decision("color", f"neighbours differ by shades, as in images ({seen})")
    if seen.speckle > SPECKLED or seen.flatness < FLAT:
        if ids and seen.distance > NEAR:
            return Decision("segmentation", f"neighbouring {dtype} values are unrelated, as ids are ({seen})")
        how = "values vary from voxel to voxel" if seen.flatness < FLAT else "single voxels stand out"
        return Decision("color", f"{how}, as in images ({seen})")
    return Decision("segmentation", f"voxels lie in areas of one value, as labels do ({seen})")


def look(slices: Sequence[Array], samples: int) -> Look:
    """Compare neighbours along x and y in slices `[x, y]` of whole numbers."""
    values, ranks = _ranked(slices)
    ends, same = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    unequal: list[Array] = []
    single = 0
    for plane in ranks:
        for a, b in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            equal = a == b
            ends += _count(a, len(values)) + _count(b, len(values))
            same += 2 * _count(a[equal], len(values))
            unequal.append(np.abs(a[~equal] - b[~equal]))
        single += _single_voxels(plane)
    steps = np.concatenate(unequal) if unequal else np.zeros(0, np.int64)
    some = max(len(steps), 1)
    return Look(
        samples=samples,
        values=len(values),
        flatness=float(np.median(same[ends > 0] / ends[ends > 0])) if ends.any() else 1.0,
        edges=len(steps),
        speckle=4 * single / some,
        shading=float((steps <= 2).sum() / some),
        distance=float(steps.sum() / some / max(len(values), 1)),
        negatives=int((values < 0).sum()),
    )


def _count(ranks: Array, size: int) -> Array:
    return np.bincount(ranks.ravel(), minlength=size)


def _single_voxels(plane: Array) -> int:
    """The number of inner voxels that differ from all four neighbours."""
    inner = plane[1:-1, 1:-1]
    unlike = (inner != plane[2:, 1:-1]) & (inner != plane[:-2, 1:-1])
    return int((unlike & (inner != plane[1:-1, 2:]) & (inner != plane[1:-1, :-2])).sum())


def _ranked(slices: Sequence[Array]) -> tuple[Array, list[Array]]:
    """The sorted distinct values of all slices, and each slice with values replaced by their ranks."""
    values, inverse = np.unique(np.concatenate([plane.ravel() for plane in slices]), return_inverse=True)
    cuts = np.cumsum([plane.size for plane in slices])[:-1]
    parts = np.split(inverse.ravel(), cuts)
    return values, [part.reshape(plane.shape) for part, plane in zip(parts, slices, strict=True)]


def _foreground(slices: Sequence[Array]) -> int:
    """The number of voxels unlike the most common value."""
    counts = np.unique(np.concatenate([plane.ravel() for plane in slices]), return_counts=True)[1]
    return int(counts.sum() - counts.max())


def _slices(data: Array) -> list[Array]:
    """At most three planes `[x, y]` of a sample `[x, y, z]`, evenly spread along z."""
    depth = data.shape[2]
    return [data[:, :, z] for z in sorted({depth // 6, depth // 2, depth - 1 - depth // 6})]


def sample_boxes(info: VolumeInfo) -> Iterator[Box]:
    """The boxes to sample, in the source's own voxels: each in another chunk, of at most SAMPLE_VOXELS voxels."""
    seen = set()
    for place in PLACES:
        x, y, z = (min(int(n * part), n - 1) for n, part in zip(info.shape, place, strict=True))
        chunk = _chunk_at((x, y, z), info)
        if chunk.start not in seen and chunk.volume:
            seen.add(chunk.start)
            yield _within(chunk, (x, y, z))


def _chunk_at(voxel: Vec3Like, info: VolumeInfo) -> Box:
    """The chunk that is decoded anyway when a voxel is read; in x and y as many chunks as reach WINDOW."""
    chunk = Vec3(*(info.chunk_shape or (1, 1, 1)))
    grid = chunk * (ceil_div(WINDOW, chunk.x), ceil_div(WINDOW, chunk.y), 1)
    return Box(voxel, (1, 1, 1)).aligned(grid).intersection(info.box)


def _within(chunk: Box, voxel: Vec3Like) -> Box:
    """A box of at most SAMPLE_VOXELS around a voxel: as deep as the chunk, unless its sides would fall below 64."""
    depth = min(chunk.shape[2], SAMPLE_VOXELS // (64 * 64))
    side = max(int((SAMPLE_VOXELS / depth) ** 0.5), 1)
    shape = chunk.shape.min((side, side, depth))
    return Box((Vec3(*voxel) - shape // 2).max(chunk.start).min(chunk.stop - shape), shape)
