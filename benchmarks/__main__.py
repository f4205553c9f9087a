"""The command: makes the data, runs every work by every program in turn, prints a table, writes JSON.

Rows, of volumes of `--size` MiB in raw TIFF unless said otherwise:

em              auto, grey values, with all mags, lz4
em-lz4hc        the same with the slower compression
em-zarr3        the same into shards of Zarr 3 (zstd by default)
em-one-worker   em with one worker: what parallel work gains
labels          auto, ids of 4 bytes, coarser mags by mode, lz4hc
labels-zarr3    the same into shards of Zarr 3
sparse-labels   the same ids, of which one cell in twenty is there
large-slices    slices of 64 MiB, of which a slab does not fit in memory
tiles           trees of JPEG: decoding
nifti-gz        one compressed stream, decoded in order
10-mb           starting, and all that does not grow
tiny-files      3,000 PNG of 64 x 64: what a file costs
many-files      100,000 PNG of 16 x 16: the same for names and order
downsample      coarser mags of a raw mag that is there
compress        a raw mag in place
recube          a copy with other shards
verify          reading each shard strictly, and comparing checksums
check-equality  two datasets that hold the same
export          a layer as a stack of TIFF

A row tells wall and processor seconds, peak and written MiB of ours, then of the peer, then the peer's wall time by
ours, and ours by the limit's (`benchmarks.limit`). Many processors are simulated by `benchmarks.cores`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.measure import Measured, run

Command = list[str | Path]

OURS: Command = [Path(sys.executable).with_name("wkconvert")]
SIZE = ["--voxel-size", "4,4,40"]
LITTLE = ["--memory", "512MiB"]


@dataclass(frozen=True)
class Work:
    """Commands of ours, of the peer and of the limit for one work. `before` prepares, and is not measured."""

    name: str
    ours: Command
    peer: Command | None
    limit: Command | None
    make: Callable[[], object]
    """Makes its input, if it is not there."""
    before: Callable[[], object]
    out: Path
    """The folder that is written, or the copy that is changed."""


def main() -> None:
    """Run the works that were asked for."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=as_it_is)
    parser.add_argument(
        "--place", type=Path, default=Path("/dev/shm/wkconvert-benchmarks"), help="folder for all files"
    )
    parser.add_argument("--peer", type=Path, help="the Python that has webknossos (default: it is left out)")
    parser.add_argument("--size", type=int, default=256, help="MiB of the volumes (default: 256)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each program (default: 5)")
    parser.add_argument("--works", help="names of works, with commas (default: all)")
    parser.add_argument("--no-limit", action="store_true", help="leave the machine's limit out")
    parser.add_argument("--json", type=Path, help="write what was measured here")
    given = parser.parse_args()
    given.place.mkdir(parents=True, exist_ok=True)
    works = [
        work
        for work in Works(given.place, given.size, given.peer).all()
        if not given.works or work.name in given.works.split(",")
    ]
    results = {}
    for work in works:
        work.make()
        results[work.name] = measured(work, given.repeat, with_limit=not given.no_limit)
        print(line(work.name, results[work.name]), flush=True)  # noqa: T201
        if given.json:
            given.json.write_text(
                json.dumps({"machine": machine(), "size_mib": given.size, "works": results}, indent=2)
            )


@dataclass(frozen=True)
class Works:
    """The works on volumes of so many MiB of uint8, with all their files in a folder."""

    place: Path
    mib: int
    peer: Path | None

    @property
    def made(self) -> Path:
        """The folder of datasets on which commands work."""
        return self.place / f"made-{self.mib}"

    @property
    def out(self) -> Path:
        """The folder that each work writes."""
        return self.place / "out"

    def clear(self) -> None:
        """Remove what the last work wrote."""
        shutil.rmtree(self.out, ignore_errors=True)

    def em(self, folder: Path) -> None:
        """Make a stack of EM: slices of 1024 x 1024 are 1 MiB."""
        data.stack(folder, lambda: data.em((1024, 1024, self.mib)))

    def ids(self, folder: Path, make: Callable[[tuple[int, int, int]], Any] = data.labels) -> None:
        """Make a stack of labels, of 4 bytes each."""
        data.stack(folder, lambda: make((1024, 1024, self.mib // 4)))

    def prepare(self) -> None:
        """Make the datasets: `raw-1` is one raw mag, `lz4` has all mags, compressed."""
        self.em(source := self.place / f"em-{self.mib}")
        for name, options in (("raw-1", ["--no-compress", "--no-downsample"]), ("lz4", [])):
            if not (self.made / name / "datasource-properties.json").exists():
                run([*OURS, "auto", source, self.made / name, *SIZE, "--layer-name", "color", "-q", *options])

    def auto(
        self,
        name: str,
        folder: str,
        make: Callable[[Path], object],
        *more: str,
        category: str = "color",
        to: str = "wkw",
        limit: bool = False,
        compared: bool = True,
    ) -> Work:
        """A conversion of what `make` puts into a folder."""
        source, alike = self.place / folder, [*SIZE, "--category", category]
        theirs = ["convert", *alike, "--data-format", to, source, self.out] if compared else None
        alone: Command = [sys.executable, "-m", "benchmarks.limit", source, self.place / "limit", *more[-1:]]
        ours: Command = [*OURS, "auto", source, self.out, *alike, "--to", to, "-q", *more]
        return Work(
            name, ours, self._peers(theirs), alone if limit else None, lambda: make(source), self.clear, self.out
        )

    def on(self, name: str, dataset: str, command: Command, peers: Command | None = None) -> Work:
        """A command on a copy of one of the datasets that `prepare` makes."""

        def copied() -> None:
            self.clear()
            shutil.copytree(self.made / dataset, self.out)

        return Work(name, [*OURS, *command, "-q"], self._peers(peers), None, self.prepare, copied, self.out)

    def _peers(self, command: Command | None) -> Command | None:
        return [self.peer.with_name("webknossos"), *command] if self.peer and command else None

    def all(self) -> list[Work]:
        """Every work, in the order of the table."""
        auto, on, em, ids, out, lz4 = self.auto, self.on, f"em-{self.mib}", self.ids, self.out, self.made / "lz4"
        return [
            auto("em", em, self.em, limit=True),
            auto("em-lz4hc", em, self.em, "--compression", "lz4hc", limit=True),
            auto("em-zarr3", em, self.em, to="zarr3"),
            auto("em-one-worker", em, self.em, "--jobs", "1", compared=False),
            auto("labels", f"labels-{self.mib}", ids, category="segmentation"),
            auto("labels-zarr3", f"labels-{self.mib}", ids, category="segmentation", to="zarr3"),
            auto("sparse-labels", f"sparse-{self.mib}", lambda it: ids(it, data.sparse), category="segmentation"),
            auto("large-slices", "large", lambda it: data.stack(it, lambda: data.em((8192, 8192, 4))), *LITTLE),
            auto("tiles", "tiles", lambda it: data.tiles(it, lambda: data.em((2048, 2048, 32)), 512), compared=False),
            auto("nifti-gz", "nifti", lambda it: data.nifti(it, lambda: data.em((512, 512, self.mib))), compared=False),
            auto("10-mb", "small", lambda it: data.stack(it, lambda: data.em((512, 512, 40)))),
            auto("tiny-files", "tiny", lambda it: data.pictures(it, 3000, 64)),
            auto("many-files", "many", lambda it: data.pictures(it, 100_000, 16), compared=False),
            on("downsample", "raw-1", ["downsample", out], ["downsample", out]),
            on("compress", "raw-1", ["compress", out], ["compress", out]),
            on("recube", "lz4", ["recube", lz4, out / "copy", "--file-len", "8"]),
            on("verify", "lz4", ["verify", out]),
            on("check-equality", "lz4", ["check-equality", lz4, out], ["check-equality", lz4, out]),
            on("export", "lz4", ["export-tiff", lz4, out / "tiff"], ["export-as-tiff", lz4, out / "tiff"]),
        ]


def measured(work: Work, repeat: int, *, with_limit: bool) -> dict[str, object]:
    """The medians of each program, which take turns; and the ratios of wall times."""
    programs = {"ours": work.ours, "peer": work.peer}
    runs: dict[str, list[Measured]] = {name: [] for name, command in programs.items() if command}
    limits = []
    for _ in range(repeat):
        for name in runs:
            work.before()
            runs[name].append(run(programs[name] or [], work.out))
        if with_limit and work.limit:
            alone = list(map(str, work.limit))
            told = subprocess.run(alone, capture_output=True, text=True, check=True).stdout
            limits.append(sum(json.loads(told).values()))
    found: dict[str, object] = {}
    for name, each in runs.items():
        work.before()
        peak = run(programs[name] or [], memory=True).peak_bytes
        median = Measured(
            statistics.median(one.seconds for one in each),
            statistics.median(one.cpu_seconds for one in each),
            peak,
            each[-1].written_bytes,
        )
        found[name] = {**asdict(median), "all_seconds": [round(one.seconds, 3) for one in each]}
    if limits:
        found["limit_seconds"] = statistics.median(limits)
    return found


def line(name: str, found: Mapping[str, Any]) -> str:
    """One row of the table: seconds, processor seconds, peak and written MiB of ours; of the peer; ratios."""
    ours, peer, limit = found["ours"], found.get("peer"), found.get("limit_seconds")
    cells = [name, *_cells(ours), *(_cells(peer) if peer else [""] * 4)]
    cells.append(f"{peer['seconds'] / ours['seconds']:.1f}" if peer else "")
    cells.append(f"{ours['seconds'] / limit:.2f}" if limit else "")
    return "| " + " | ".join(cells) + " |"


def _cells(found: Mapping[str, Any]) -> list[str]:
    times = [f"{found[name]:.2f}" for name in ("seconds", "cpu_seconds")]
    return times + [f"{found[name] / 2**20:.0f}" for name in ("peak_bytes", "written_bytes")]


def machine() -> dict[str, object]:
    """The machine and the versions that were measured."""
    from importlib.metadata import version

    import psutil

    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: version(name) for name in ("wkconvert", "numpy", "lz4", "tifffile")},
    }


if __name__ == "__main__":
    main()
