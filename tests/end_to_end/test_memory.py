"""The commands on datasets keep within `--memory`, and take no more for a volume eight times as large."""

from pathlib import Path

import pytest
from helpers.datasets import repeat_noise
from helpers.processes import peak_of

from wkconvert_core.registry.plugins import plugins

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").exists(), reason="ru_maxrss has other units elsewhere"),
]

BUDGET = 260 << 20
COMMANDS = {
    "downsample": ["downsample", "{ds}"],
    "upsample": ["upsample", "{coarse}"],
    "compress": ["compress", "{ds}"],
    "copy": ["compress", "{ds}", "{ds}-copy"],
    "recube": ["recube", "{ds}", "{ds}-recubed", "--file-len", "2"],
    "check-equality": ["check-equality", "{ds}", "{same}"],
    "verify": ["verify", "{ds}", "--deep"],
    "metadata": ["metadata", "{ds}", "--extent", "--compute-max-id", "--category", "segmentation"],
}
OPTIONS = {"wkw": {"file_len": "8"}, "zarr3": {"shard": "256"}}
"""For large shards."""


def make(folder, side, mag=1, to="wkw"):
    repeat_noise(folder, (side,) * 3, mag, to, compression="none", **OPTIONS[to])


@pytest.mark.parametrize(
    ("command", "to"), [*((each, "wkw") for each in COMMANDS), ("copy", "zarr3"), ("verify", "zarr3")]
)
def test_the_peak_stays_within_the_budget_and_does_not_grow_with_the_volume(tmp_path, command, to):
    if to not in plugins().mag_formats():
        pytest.skip(f"no plugin stores {to}")
    peaks = []
    for side in (256, 512):
        names = {name: tmp_path / f"{name}{side}" for name in ("ds", "same", "coarse")}
        for name, folder in names.items():
            if f"{{{name}}}" in "".join(COMMANDS[command]):
                is_coarse = name == "coarse"
                make(folder, side // 2 if is_coarse else side, 2 if is_coarse else 1, to)
        command_line = [part.format(**names) for part in COMMANDS[command]]
        peaks.append(peak_of(*command_line, "--memory", BUDGET, "--jobs", 2))
    assert max(peaks) <= BUDGET
    assert peaks[1] <= peaks[0] + (96 << 20)  # some cells more at a time; the volume grows by 112 MiB
