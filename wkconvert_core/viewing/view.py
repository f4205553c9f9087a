"""Serve the layers of a dataset or of any source to neuroglancer in a browser. Behind `wkconvert view`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import OptionError, PluginError, WkconvertError
from wkconvert_core.contract.geometry import Box
from wkconvert_core.conversion.source_layer import SourceLayer, notes_on
from wkconvert_core.sources.intensity_range import intensity_range
from wkconvert_core.viewing.chosen import chosen_layers
from wkconvert_core.viewing.chunk_cache import ChunkCache, KeptChunks
from wkconvert_core.viewing.precomputed import Precomputed

ADDRESS = "127.0.0.1"
"""Nobody but this machine is served."""
RGB = """void main() {
  emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2))));
}"""
GREY = """#uicontrol invlerp shown
#uicontrol vec3 color color
void main() { emitRGB(color * shown()); }"""


@dataclass(frozen=True)
class Served:
    """The layers that are served to the browser."""

    address: str
    """Of the page; it holds a token."""
    notes: Sequence[str]
    """The readers' notes on how the layers are read."""


@contextmanager
def viewing(
    path: Path | str,
    port: int = 0,
    *,
    layers: Sequence[str] = (),
    reader: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Serve the layers (none: all) of a path while the block lasts.

    `port` 0 is any free one. Voxels are read when the page asks for them. Raises PluginError where neuroglancer is
    missing, OptionError for an unknown layer or a port that is taken, and the errors of opening.
    """
    chosen = chosen_layers(path, layers, reader, options)
    try:
        import neuroglancer
        from neuroglancer import server
    except ImportError as error:
        raise PluginError(
            "neuroglancer is not installed", why=str(error), fix='try pip install "wkconvert[view]"'
        ) from error
    server.stop()
    server.set_server_bind_address(ADDRESS, port)
    try:
        viewer = neuroglancer.Viewer()
    except OSError as error:
        raise OptionError(f"--port {port} cannot be used", why=str(error), fix="take another one, or none") from error
    try:
        running = server.global_server
        kept = KeptChunks()  # of all layers and mags together
        volumes = [
            Precomputed(
                each.category, {mag: ChunkCache(source, kept) for mag, source in each.mags.items()}, each.voxel_size
            )
            for each in chosen
        ]
        running.app.add_handlers(".*", [(rf"/data/{viewer.token}/(\d+)/(.*)", _handler(volumes, running.executor))])
        with viewer.txn() as state:
            for number, layer in enumerate(chosen):
                source = f"precomputed://{server.get_server_url()}/data/{viewer.token}/{number}"
                state.layers[layer.name] = _shown(layer, source)
        yield Served(viewer.get_viewer_url(), notes_on(chosen))
    finally:
        server.stop()


def _shown(layer: SourceLayer, source: str) -> Any:
    """The layer as neuroglancer shows it: ids, colours as they are, or values within their window in a colour."""
    import neuroglancer

    if layer.category == "segmentation":
        return neuroglancer.SegmentationLayer(source=source)
    if layer.info.channels == 3 and layer.info.dtype == "uint8":
        return neuroglancer.ImageLayer(source=source, shader=RGB, opacity=1)
    low, high = layer.intensity_range or intensity_range(layer.mags[max(layer.mags)]) or (0, 1)
    red, green, blue = layer.color or (255, 255, 255)
    return neuroglancer.ImageLayer(
        source=source,
        shader=GREY,
        shader_controls={"shown": {"range": [low, high]}, "color": f"#{red:02x}{green:02x}{blue:02x}"},
        opacity=1,
        blend="additive",
    )


def _handler(volumes: Sequence[Precomputed], executor: Executor) -> type:
    """The tornado handler of `/data/TOKEN/LAYER/info` and `/data/TOKEN/LAYER/KEY/X-X_Y-Y_Z-Z`."""
    from tornado.web import HTTPError, RequestHandler

    class Data(RequestHandler):
        async def get(self, number: str, place: str) -> None:
            try:
                volume = volumes[int(number)]
                if place == "info":
                    self.finish(json.dumps(volume.info()))
                    return
                key, _, bounds = place.partition("/")
                (x, to_x), (y, to_y), (z, to_z) = (map(int, pair.split("-")) for pair in bounds.split("_"))
                box = Box.between((x, y, z), (to_x, to_y, to_z))
                voxels = await asyncio.wrap_future(executor.submit(volume.chunk, key, box))
            except (KeyError, IndexError, ValueError) as error:
                raise HTTPError(404, str(error)) from error
            except WkconvertError as error:
                raise HTTPError(500, str(error), reason="the voxels cannot be read") from error
            self.set_header("Content-Type", "application/octet-stream")
            self.finish(voxels)

    return Data
