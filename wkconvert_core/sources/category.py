"""Colour or segmentation: decided by the user, the reader, a word in a name, or by looking; the same way every time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box, Vec3Like
from wkconvert_core.contract.model import Category, Source, VolumeInfo

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType


def words(name: str) -> Iterator[str]:
    """The words of a name in lower case, split at whatever is no letter and at camelCase: `rawEM_01` has raw, em."""
    for run in re.findall(r"[^\W\d_]+", name):
        yield from (word.lower() for word in re.split(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", run))


SEGMENTATION_WORDS = frozenset(
    words(
        "seg segs segm segment segments segmented segmentation segmentations label labels labeled labelled labeling "
        "labelling labelmap mask masks annotation annotations annotated ids gt groundtruth watershed supervoxel "
        "supervoxels agglomeration agglomerations"
    )
)
"""Words that name labels. Not `cells`, `nuclei`, `neurons`, `roi`: images are called so as well."""

COLOR_WORDS = frozenset(
    words(
        "color colors colour colours raw em sem tem sbem sbfsem fib fibsem sstem image images img imgs intensity "
        "intensities grey gray greyscale grayscale rgb fluorescence fluo confocal lightsheet microscopy micrograph "
        "micrographs ct microct xray mri dapi gfp yfp rfp mcherry"
    )
)
"""Words that name pictures. Not `stack`, `slice`, `channel`: labels come in these too. Not `stem`: brains have one."""


@dataclass(frozen=True)
class Decision:
    """What a layer is, and why."""

    category: Category
    reason: str
    """For people: `97% of the neighbours of a typical value equal it, 41 distinct values in 3 samples`."""

    def __str__(self) -> str:
        """`segmentation: the name 'labels' says so`."""
        return f"{self.category}: {self.reason}"


def classify(
    source: Source, *, option: Category | None = None, hint: Category | None = None, names: Iterable[str] = ()
) -> Decision:
    """Decide whether a layer is colour or segmentation.

    The first of these that knows: `option` (the user), `hint` (the reader), a word in one of `names` (of the layer's
    folder, then of its files), the dtype, the values in a few small boxes. Reads at most `len(PLACES)` boxes, each in a
    chunk of its own; raises what `source.read` raises.
    """
    if option is not None:
        return Decision(option, "asked for")
    if hint is not None:
        return Decision(hint, "the file says so")
    return by_name(names) or by_kind(source.info) or by_look(source)


def by_name(names: Iterable[str]) -> Decision | None:
    """What the first telling name says; a name with words of both kinds tells nothing."""
    for name in names:
        said = set(words(name))
        labels, colors = said & SEGMENTATION_WORDS, said & COLOR_WORDS
        if labels and not colors:
            return Decision("segmentation", f"{name!r} has the word {min(labels)!r}")
        if colors and not labels:
            return Decision("color", f"{name!r} has the word {min(colors)!r}")
    return None


def by_kind(info: VolumeInfo) -> Decision | None:
    """What the dtype and the number of channels settle: labels are one whole number per voxel."""
    if info.channels > 1:
        return Decision("color", f"{info.channels} channels")
    if info.dtype.kind not in "bui":
        return Decision("color", f"{info.dtype} holds intensities")
    return None


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
"""Where samples are taken, as fractions of the extent: the first three always, the others while all is background."""

ALWAYS = 3
WINDOW = 512
"""Side of a sample in x and y where reading less saves decoding less."""
SAMPLE_VOXELS = WINDOW * WINDOW
ENOUGH = 2_000
"""Voxels that differ from the commonest value, as many as a verdict needs."""

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
    """What a few slices show, all of them taken together."""

    samples: int
    values: int
    """How many distinct values there are."""
    flatness: float
    """For the median value: which share of its neighbours is equal to it. So one large background has one vote."""
    edges: int
    """How many pairs of neighbours are unequal."""
    speckle: float
    """Voxels unlike all four neighbours, per four unequal pairs."""
    shading: float
    """Share of the unequal pairs that are one or two ranks apart."""
    distance: float
    """Mean distance in rank of the unequal pairs, per number of values."""
    negatives: int
    """How many distinct values are below 0."""

    @property
    def where(self) -> str:
        """`3 samples`."""
        return f"{self.samples} sample{'s' * (self.samples != 1)}"

    def __str__(self) -> str:
        """The numbers, for people."""
        return (
            f"{self.flatness:.0%} of the neighbours of a typical value equal it, "
            f"{self.values} distinct values in {self.where}"
        )


def by_look(source: Source) -> Decision:
    """Judge by the values of a few samples: labels form plateaus whose neighbours have unrelated values."""
    slices: list[Array] = []
    number = 0
    for number, box in enumerate(sample_boxes(source.info), 1):
        slices += _slices(source.read(box)[0])
        if number >= ALWAYS and _foreground(slices) >= ENOUGH:
            break
    return verdict(look(slices, number), source.info.dtype)


def verdict(seen: Look, dtype: DType) -> Decision:
    """Turn what was seen into a decision; `dtype` decides where nothing is to be seen, or nothing but noise."""
    ids = dtype.kind == "u" and dtype.itemsize >= 4
    if not seen.edges:
        category: Category = "segmentation" if ids or dtype.kind == "b" else "color"
        return Decision(category, f"no two neighbours differ in {seen.where}, and {dtype} is mostly {category}")
    if seen.negatives > 1:
        return Decision("color", f"{seen.negatives} distinct negative values in {seen.where}")
    if seen.values > SHADES and seen.shading > SHADED:
        return Decision("color", f"{seen.shading:.0%} of the neighbours that differ do so by a shade; {seen}")
    if seen.speckle > SPECKLED or seen.flatness < FLAT:
        if ids and seen.distance > NEAR:
            return Decision("segmentation", f"neighbouring {dtype} values are unrelated, as ids are; {seen}")
        return Decision("color", f"only {seen}" if seen.flatness < FLAT else f"speckled; {seen}")
    return Decision("segmentation", str(seen))


def look(slices: Sequence[Array], samples: int) -> Look:
    """Measure slices `[x, y]` of whole numbers, along x and y."""
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
    """How many inner voxels differ from all four neighbours."""
    inner = plane[1:-1, 1:-1]
    unlike = (inner != plane[2:, 1:-1]) & (inner != plane[:-2, 1:-1])
    return int((unlike & (inner != plane[1:-1, 2:]) & (inner != plane[1:-1, :-2])).sum())


def _ranked(slices: Sequence[Array]) -> tuple[Array, list[Array]]:
    """The distinct values of all slices together, in order, and each slice with its values' places in that order."""
    values, inverse = np.unique(np.concatenate([plane.ravel() for plane in slices]), return_inverse=True)
    cuts = np.cumsum([plane.size for plane in slices])[:-1]
    parts = np.split(inverse.ravel(), cuts)
    return values, [part.reshape(plane.shape) for part, plane in zip(parts, slices, strict=True)]


def _foreground(slices: Sequence[Array]) -> int:
    """How many voxels have another value than the commonest one."""
    counts = np.unique(np.concatenate([plane.ravel() for plane in slices]), return_counts=True)[1]
    return int(counts.sum() - counts.max())


def _slices(data: Array) -> list[Array]:
    """At most three planes `[x, y]` of a sample `[x, y, z]`, evenly spread along z."""
    depth = data.shape[2]
    return [data[:, :, z] for z in sorted({depth // 6, depth // 2, depth - 1 - depth // 6})]


def sample_boxes(info: VolumeInfo) -> Iterator[Box]:
    """The boxes to look at, in the source's own voxels, each in another chunk, each of at most SAMPLE_VOXELS voxels."""
    seen = set()
    for place in PLACES:
        x, y, z = (min(int(n * part), n - 1) for n, part in zip(info.shape, place, strict=True))
        chunk = _chunk_at((x, y, z), info)
        if chunk.start not in seen and chunk.volume:
            seen.add(chunk.start)
            yield _within(chunk, (x, y, z))


def _chunk_at(voxel: Vec3Like, info: VolumeInfo) -> Box:
    """What is decoded anyway when a voxel is read; with small chunks or none, a window around the voxel."""
    x, y, z = info.chunk_shape or (1, 1, 1)
    grid = (_whole(x), _whole(y), z)
    return Box(voxel, (1, 1, 1)).aligned(grid).intersection(info.box)


def _whole(side: int) -> int:
    """The least multiple of a chunk's side that reaches WINDOW."""
    return side * -(-WINDOW // side)


def _within(chunk: Box, voxel: Vec3Like) -> Box:
    """A box of at most SAMPLE_VOXELS around a voxel, as deep as the chunk while its sides are at least 64."""
    depth = min(chunk.shape[2], SAMPLE_VOXELS // (64 * 64))
    side = max(int((SAMPLE_VOXELS / depth) ** 0.5), 1)
    shape = (min(chunk.shape[0], side), min(chunk.shape[1], side), depth)
    start = [
        min(max(at - n // 2, low), high - n)
        for at, n, low, high in zip(voxel, shape, chunk.start, chunk.stop, strict=True)
    ]
    return Box((start[0], start[1], start[2]), shape)
