"""Reports of conversions, `info`, `plugins` and `check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.text import Text

from wkconvert_core.cli.reporting.dataset_reports import show_stored
from wkconvert_core.cli.reporting.output import (
    count_text,
    hanging,
    near,
    print_lines,
    print_notes,
    print_table,
    printable,
    rate_text,
    shape_text,
    shard_text,
    time_text,
)
from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.registry.plugins import BUILT_IN
from wkconvert_core.toolkit.byte_sizes import size_text

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.commands.info import Described
    from wkconvert_core.conversion.execute import Done
    from wkconvert_core.conversion.prepare import Conversion
    from wkconvert_core.conversion.source_layer import SourceLayer
    from wkconvert_core.planning.step import AnyStep
    from wkconvert_core.publishing.upload import Uploaded
    from wkconvert_core.registry.plugins import Plugins
    from wkconvert_core.testing import CheckResult

LISTED = 5
"""Most layers that are shown one by one before the work."""

# --- errors ----------------------------------------------------------------------------------------------------------


def show_error(error: WkconvertError, console: Console) -> None:
    """Print what, why and how to fix it: in a panel on a terminal, as plain lines elsewhere."""
    parts = [error.what] + [f"{label}: {text}" for label, text in (("why", error.why), ("fix", error.fix)) if text]
    if console.is_terminal:
        inside = console.width - len("│  │")
        lines = [hanging(printable(part), inside, len("why: ") * (number > 0)) for number, part in enumerate(parts)]
        console.print(Panel(Text("\n".join(lines)), title="error", title_align="left", border_style="red"))
    else:
        print_lines(console, f"error: {parts[0]}", *(f"  {part}" for part in parts[1:]))


# --- a conversion ----------------------------------------------------------------------------------------------------


def _layer_line(layer: SourceLayer) -> str:
    info = layer.info
    channels = f", {info.channels} channels" if info.channels > 1 else ""
    return f"{layer.name}: {shape_text(info.shape)} {info.dtype.name}{channels}, {layer.found.match.reason}"


def show_layers(conversion: Conversion, console: Console, *, quiet: bool = False) -> None:
    """Print what was found and decided, before the work begins; with `quiet`, only warnings."""
    layers = [] if quiet else conversion.layers
    for layer in layers[:LISTED]:
        print_lines(console, _layer_line(layer), f"  {layer.decision}")
    if more := layers[LISTED:]:
        colors = sum(layer.category == "color" for layer in more)
        kinds = [f"{n} {kind}" for kind, n in (("color", colors), ("segmentation", len(more) - colors)) if n]
        count = count_text(len(more), "layer")
        print_lines(console, f"and {count} more: {', '.join(kinds)}; `wkconvert info` lists all")
    if (size := conversion.voxel_size) and not quiet:
        print_lines(console, f"voxel size: {size} ({size.origin})")
    print_notes(conversion.notes, console, quiet=quiet)


def show_plan(conversion: Conversion, console: Console) -> None:
    """Print the plan, for `--dry-run`."""
    show_layers(conversion, console)
    if not conversion.steps:
        print_lines(console, "nothing to do: everything is as requested")
        return
    rows = [
        (
            _short_title(planned.step),
            planned.route.way,
            f"{planned.route.tasks:,}",
            shard_text(planned.step.finest.grid),
            size_text(planned.route.memory),
            f"{planned.route.amplification:.2f}x",
            size_text(planned.step.raw_bytes),
        )
        for planned in conversion.steps
    ]
    print_table(console, ("step", "way", "tasks", "shard", "memory", "decoded", "raw"), rows)
    ways = {planned.route.way for planned in conversion.steps}
    scratch = max(planned.route.scratch for planned in conversion.steps)
    useful = conversion.useful_workers
    lines = [f"memory: at most {size_text(conversion.memory)}{' per worker' * bool(useful)}"]
    lines += [f"workers: more than {useful:,} would have nothing to do"] if useful else []
    lines += [f"disk: at most {size_text(conversion.needed)}, {size_text(conversion.free)} free"]
    lines += [f"scratch: {size_text(scratch)} of that, until a step is done"] if "spool" in ways else []
    print_lines(console, *lines, _estimate_line(conversion), "nothing was written")


def _short_title(step: AnyStep) -> str:
    """The layer and its mags, from the first to the last where there are more: `em mags 1 to 16-16-2`."""
    mags = [consumer.mag for consumer in step.consumers]
    return f"{step.finest.layer} mags {mags[0]} to {mags[-1]}" if len(mags) > 2 else step.title


def _estimate_line(conversion: Conversion) -> str:
    told = conversion.estimate
    if not told or told.seconds is None or told.stored_bytes is None:
        return f"estimate: none; {told.reason if told else 'nothing was sampled'}"
    on_cluster = f"{told.workers:,} tasks at a time" if conversion.useful_workers else ""
    facts = [f"about {time_text(told.seconds)} with {on_cluster or count_text(told.workers, 'worker')}"]
    facts += ["as much again for --verify at most"] if conversion.inputs.settings.verify else []
    facts += [f"about {size_text(told.stored_bytes)} on disk", f"from {count_text(told.samples, 'sample')}"]
    return f"estimate: {', '.join(facts)}"


def show_done(done: Done, console: Console, *, quiet: bool = False) -> None:
    """Print the result of a conversion; with `quiet`, nothing."""
    conversion = done.conversion
    if quiet:
        return
    if done.resumed:
        print_lines(console, f"{done.resumed} of {done.shards} shards were there from an earlier run")
    mags = sum(len(layer.mags) for layer in done.layers)
    if not conversion.steps:
        print_lines(console, f"{near(conversion.dst)}: nothing to do, everything is as requested")
        return
    rate = rate_text(conversion.raw_bytes, done.seconds) if not done.resumed else ""
    print_lines(
        console,
        f"{near(conversion.dst)}: {count_text(len(done.layers), 'layer')}, {count_text(mags, 'mag')}, "
        f"{size_text(done.stored_bytes)} on disk ({size_text(conversion.raw_bytes)} raw), "
        f"{done.seconds:.1f} s{rate and f', {rate}'}",
    )


def show_uploaded(sent: Uploaded, console: Console) -> None:
    """Print where an uploaded dataset is."""
    earlier = f", {size_text(sent.total_bytes - sent.sent_bytes)} of them before" * (sent.sent_bytes < sent.total_bytes)
    print_lines(console, f"{count_text(sent.files, 'file')}, {size_text(sent.total_bytes)}{earlier}", sent.address)


# --- info, plugins, check --------------------------------------------------------------------------------------------


def show_info(described: Described, console: Console) -> None:
    """Print what `info` finds."""
    from wkconvert_core.conversion.source_layer import notes_on  # imports numpy, which an error need not wait for

    lines, others = [str(described.path)], [answer.plugin for answer in described.answers if not answer.reason]
    for answer in described.answers:
        if match := answer.match:
            lines.append(f"  {match.format} ({match.confidence.name.lower()}): {match.reason}")
        elif answer.error:
            lines.append(f"  {answer.plugin}: {answer.error}")
    if described.layers and not any(answer.match for answer in described.answers):
        lines.append("  a folder of layers, each of which is read on its own")
    elif others:
        lines.append(f"  not for {', '.join(others)}")
    for layer in described.layers:
        info, size = layer.info, layer.info.voxel_size
        size_line = f"{size} ({size.origin})" if size else "not in the source: --voxel-size"
        lines += ["", _layer_line(layer), f"  {layer.decision}", f"  voxel size: {size_line}"]
        if len(layer.mags) > 1 or max(layer.finest) > 1:
            lines.append(f"  mags: {', '.join(map(str, sorted(layer.mags)))}")
        lines.append(f"  lies at {layer.extent}")
        if info.chunk_shape:
            lines.append(f"  decoded in boxes of {shape_text(info.chunk_shape)}")
    if described.problem:
        lines += ["", f"not in one dataset: {described.problem}"]
    print_lines(console, *lines)
    print_notes(notes_on(described.layers), console)
    show_stored(described.stored, console)


def show_plugins(plugins: Plugins, console: Console) -> None:
    """Print the plugins and what each offers."""
    built_in = [f"  {name}: {what}" for plugin in BUILT_IN for name, what in plugins.formats_of(plugin).items()]
    print_lines(console, "built in", *built_in)
    for plugin in plugins.loaded:
        print_lines(console, f"{plugin.name} ({plugin.distribution} {plugin.version})")
        if plugin.error:
            print_lines(console, f"  failed to load: {plugin.error}", style="red")
            continue
        print_lines(console, *(f"  {name}: {what}" for name, what in plugin.formats.items()))
        print_lines(console, *(f"  --to {name}: {what}" for name, what in plugin.writers.items()))
        if plugin.interpolation_modes:
            print_lines(console, f"  interpolation modes: {', '.join(plugin.interpolation_modes)}")
    if not plugins.loaded:
        print_lines(console, 'no readers are installed; pip install "wkconvert[all]" installs those of this project')
    print_lines(console, f"--to takes: {', '.join(sorted(plugins.writers()))}")
    print_lines(console, f"export --to takes: {', '.join(sorted(plugins.exports())) or 'nothing'}")
    print_lines(console, f"interpolation modes: {', '.join(sorted(plugins.downsamplers()))}")


def show_checks(results: Sequence[CheckResult], console: Console) -> None:
    """Print the result of each check."""
    styles = {"passed": "green", "failed": "red", "skipped": "yellow"}
    for result in results:
        line = Text(f"{result.status:8}", style=styles[result.status]).append(result.name, style="default")
        console.print(line, soft_wrap=True)
        if result.message:
            print_lines(console, f"        {result.message}")
