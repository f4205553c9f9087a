"""Axes i, j, k of a file as x, y, z: exchanged and mirrored, never resampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wkconvert_core.contract.geometry import Box, Vec3Like

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

__all__ = ["Axes"]


@dataclass(frozen=True)
class Axes:
    """How the stored axes become x, y, z."""

    shape: Vec3Like
    """Along the stored axes i, j, k."""
    order: Vec3Like = (0, 1, 2)
    """The stored axes that become x, y, z."""
    mirrored: tuple[bool, bool, bool] = (False, False, False)
    """Whether x, y, z run against it."""

    @property
    def seen_shape(self) -> Vec3Like:
        """Along x, y, z."""
        return self._of(self.shape)

    def _of(self, stored: Vec3Like) -> Vec3Like:
        i, j, k = self.order
        return stored[i], stored[j], stored[k]

    def seen(self, box: Box) -> Box:
        """A box along the stored axes, in x, y, z.

        >>> axes = Axes((10, 20, 30), order=(1, 0, 2), mirrored=(True, False, False))  # x runs against j
        >>> str(axes.seen(Box((1, 2, 3), (4, 5, 6))))  # j 2:7 of 20, so x 13:18
        'x 13:18, y 1:5, z 3:9'
        """
        return self._mirror(Box(self._of(box.start), self._of(box.shape)))

    def stored(self, box: Box) -> Box:
        """A box in x, y, z, along the stored axes: the inverse of `seen`."""
        box = self._mirror(box)
        i, j, k = (self.order.index(axis) for axis in range(3))
        return Box((box.start[i], box.start[j], box.start[k]), (box.shape[i], box.shape[j], box.shape[k]))

    def turned(self, voxels: Array) -> Array:
        """Voxels `[c, i, j, k]` as `[c, x, y, z]`, a view."""
        i, j, k = self.order
        steps = (slice(None, None, -1 if mirrored else 1) for mirrored in self.mirrored)
        return voxels.transpose(0, i + 1, j + 1, k + 1)[:, *steps]

    def _mirror(self, box: Box) -> Box:
        x, y, z = (
            whole - start - length if mirrored else start
            for whole, start, length, mirrored in zip(self.seen_shape, box.start, box.shape, self.mirrored, strict=True)
        )
        return Box((x, y, z), box.shape)
