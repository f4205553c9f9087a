"""What the commands print: tables and sentences for people, one JSON document for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wkconvert_core.cli.output import Document, print_lines, shape_text, shard_text, size_document
from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.registry.plugins import BUILT_IN
from wkconvert_core.toolkit.byte_sizes import size_text

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.commands.info import Described
    from wkconvert_core.conversion.execute import Done
    from wkconvert_core.conversion.opening import Opened
    from wkconvert_core.conversion.prepare import Conversion
    from wkconvert_core.registry.plugins import Plugins
    from wkconvert_core.testing import CheckResult

# --- errors ----------------------------------------------------------------------------------------------------------


def error_document(error: WkconvertError) -> Document:
    """`{"error": {code, what, why, fix}}`."""
    return {"error": {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}}


def show_error(error: WkconvertError, console: Console) -> None:
    """One panel on a terminal, plain lines elsewhere: what, why, what to do."""
    parts = [error.what] + [f"{label}: {text}" for label, text in (("why", error.why), ("fix", error.fix)) if text]
    if console.is_terminal:
        console.print(Panel(Text("\n".join(parts)), title="error", title_align="left", border_style="red"))
    else:
        print_lines(console, f"error: {parts[0]}", *(f"  {part}" for part in parts[1:]))


# --- a conversion ----------------------------------------------------------------------------------------------------


def _layer_document(layer: Opened) -> Document:
    info = layer.info
    return {
        "name": layer.name,
        "category": layer.category,
        "category_reason": layer.decision.reason,
        "path": str(layer.found.path),
        "reader": layer.found.match.format,
        "reader_reason": layer.found.match.reason,
        "shape": list(info.shape),
        "offset": list(info.offset),
        "dtype": info.dtype.name,
        "channels": info.channels,
        "chunk_shape": list(info.chunk_shape) if info.chunk_shape else None,
        "voxel_size": size_document(layer.voxel_size),
        "mags": [str(mag) for mag in sorted(layer.mags)],
        "notes": list(layer.notes),
    }


def plan_document(conversion: Conversion) -> Document:
    """What `--dry-run --json` prints."""
    return {
        "source": str(conversion.src),
        "target": str(conversion.dst),
        "layers": [_layer_document(layer) for layer in conversion.layers],
        "memory_bytes": conversion.memory,
        **({"useful_workers": conversion.useful_workers} if conversion.useful_workers else {}),
        "disk_bytes": conversion.needed,
        "free_bytes": conversion.free,
        "steps": [
            {
                "title": planned.step.title,
                "mags": [str(sink.spec.mag) for sink in planned.step.sinks],
                "way": planned.route.way,
                "workers": planned.route.workers,
                "tasks": planned.route.tasks,
                "shape": list(planned.step.box.shape),
                "shard_shape": list(planned.step.finest.grid),
                "memory_bytes": planned.route.memory,
                "amplification": round(planned.route.amplification, 3),
                "scratch_bytes": planned.route.scratch,
                "raw_bytes": planned.step.raw_bytes,
            }
            for planned in conversion.steps
        ],
    }


def done_document(done: Done) -> Document:
    """What `auto --json` prints."""
    conversion = done.conversion
    return {
        "source": str(conversion.src),
        "target": str(conversion.dst),
        "layers": [_layer_document(layer) for layer in conversion.layers],
        "voxel_size": size_document(conversion.voxel_size),
        "written": [
            {
                "name": layer.name,
                "mags": [str(spec.mag) for spec in layer.mags],
                "top_left": list(layer.box.start),
                "shape": list(layer.box.shape),
                "largest_segment_id": layer.largest_segment_id,
            }
            for layer in done.layers
        ],
        "seconds": round(done.seconds, 3),
        "shards": done.shards,
        "shards_from_earlier_run": done.resumed,
        "stored_bytes": done.stored_bytes,
        "raw_bytes": conversion.raw_bytes,
        "notes": list(done.notes),
    }


def _layer_line(layer: Opened) -> str:
    info = layer.info
    channels = f", {info.channels} channels" if info.channels > 1 else ""
    return f"{layer.name}: {shape_text(info.shape)} {info.dtype.name}{channels}, {layer.found.match.reason}"


def show_layers(conversion: Conversion, console: Console) -> None:
    """What was found, before the work begins."""
    for layer in conversion.layers:
        print_lines(console, _layer_line(layer), f"  {layer.decision}")
    if size := conversion.voxel_size:
        print_lines(console, f"voxel size: {size} ({size.origin})")


def show_plan(conversion: Conversion, console: Console) -> None:
    """What `--dry-run` prints."""
    show_layers(conversion, console)
    if not conversion.steps:
        print_lines(console, "nothing to do: all is as asked")
        return
    table = Table("step", "way", "tasks", "shard", "memory", "decoded", "raw", box=None, padding=(0, 2, 0, 0))
    for planned in conversion.steps:
        step, chosen = planned.step, planned.route
        table.add_row(
            step.title,
            chosen.way,
            f"{chosen.tasks:,}",
            shard_text(step.finest.grid),
            size_text(chosen.memory),
            f"{chosen.amplification:.2f}x",
            size_text(step.raw_bytes),
        )
    console.print(table)
    ways = {planned.route.way for planned in conversion.steps}
    scratch = max(planned.route.scratch for planned in conversion.steps)
    useful = conversion.useful_workers
    lines = [f"memory: at most {size_text(conversion.memory)}{' per worker' * bool(useful)}"]
    lines += [f"workers: more than {useful:,} would have nothing to do"] if useful else []
    lines += [f"disk: at most {size_text(conversion.needed)}, {size_text(conversion.free)} free"]
    lines += [f"scratch: {size_text(scratch)} of that, until a step is done"] if "spool" in ways else []
    print_lines(console, *lines, "nothing was written")


def show_done(done: Done, console: Console) -> None:
    """The last lines of a conversion."""
    conversion = done.conversion
    print_lines(console, *(f"note: {note}" for note in done.notes))
    if done.resumed:
        print_lines(console, f"{done.resumed} of {done.shards} shards were there from an earlier run")
    mags = sum(len(layer.mags) for layer in done.layers)
    if not conversion.steps:
        print_lines(console, f"{conversion.dst}: nothing to do, all is as asked")
        return
    rate = conversion.steps[0].step.raw_bytes / done.seconds / 1e6 if done.seconds else 0
    print_lines(
        console,
        f"{conversion.dst}: {len(done.layers)} layer{'s' * (len(done.layers) > 1)}, {mags} mag{'s' * (mags > 1)}, "
        f"{size_text(done.stored_bytes)} on disk ({size_text(conversion.raw_bytes)} raw), "
        f"{done.seconds:.1f} s, {rate:.0f} MB/s",
    )


# --- info, plugins, check --------------------------------------------------------------------------------------------


def info_document(described: Described) -> Document:
    """What `info --json` prints."""
    return {
        "path": str(described.path),
        "answers": [
            {
                "plugin": answer.plugin,
                "format": answer.match.format if answer.match else None,
                "confidence": answer.match.confidence.name if answer.match else None,
                "reason": answer.match.reason if answer.match else answer.error,
            }
            for answer in described.answers
        ],
        "layers": [_layer_document(layer) for layer in described.layers],
    }


def show_info(described: Described, console: Console) -> None:
    """What `info` prints."""
    print_lines(console, str(described.path))
    for answer in described.answers:
        if answer.match:
            match = answer.match
            print_lines(console, f"  {answer.plugin}: {match.format} ({match.confidence.name.lower()}), {match.reason}")
        else:
            print_lines(console, f"  {answer.plugin}: {answer.error or 'not mine'}")
    for layer in described.layers:
        print_lines(console, *_layer_details(layer))


def _layer_details(layer: Opened) -> list[str]:
    info = layer.info
    size = f"{layer.voxel_size} ({layer.voxel_size.origin})" if layer.voxel_size else "not in the source: --voxel-size"
    lines = ["", _layer_line(layer), f"  {layer.decision}", f"  voxel size: {size}"]
    if len(layer.mags) > 1:
        lines.append(f"  mags: {', '.join(str(mag) for mag in sorted(layer.mags))}")
    if any(info.offset):
        lines.append(f"  starts at {', '.join(map(str, info.offset))}")
    if info.chunk_shape:
        lines.append(f"  decoded in boxes of {shape_text(info.chunk_shape)}")
    return lines + [f"  note: {note}" for note in layer.notes]


def plugins_document(plugins: Plugins) -> Document:
    """What `plugins --json` prints."""
    return {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "formats": plugins.formats_of(plugin.name) if not plugin.error else {},
                "error": plugin.error or None,
            }
            for plugin in plugins.loaded
        ],
        "formats": plugins.formats(),
        "interpolation_modes": sorted(plugins.downsamplers()),
    }


def show_plugins(plugins: Plugins, console: Console) -> None:
    """What `plugins` prints."""
    built_in = [f"  {name}: {what}" for module in BUILT_IN for name, what in plugins.formats_of(module).items()]
    print_lines(console, "built in", *built_in)
    for plugin in plugins.loaded:
        print_lines(console, f"{plugin.name} ({plugin.distribution} {plugin.version})")
        if plugin.error:
            console.print(Text(f"  failed to load: {plugin.error}", style="red"), soft_wrap=True)
            continue
        print_lines(console, *(f"  {name}: {what}" for name, what in plugins.formats_of(plugin.name).items()))
    if not plugins.loaded:
        print_lines(console, 'no readers are installed; pip install "wkconvert[all]" brings all that there are')
    print_lines(console, f"interpolation modes: {', '.join(sorted(plugins.downsamplers()))}")


def checks_document(results: Sequence[CheckResult]) -> Document:
    """What `check --json` prints."""
    return {"checks": [{"name": r.name, "status": r.status, "message": r.message} for r in results]}


def show_checks(results: Sequence[CheckResult], console: Console) -> None:
    """What `check` prints."""
    styles = {"passed": "green", "failed": "red", "skipped": "yellow"}
    for result in results:
        line = Text(f"{result.status:8}", style=styles[result.status]).append(f"{result.name}", style="default")
        console.print(line, soft_wrap=True)
        if result.message:
            print_lines(console, f"        {result.message}")
