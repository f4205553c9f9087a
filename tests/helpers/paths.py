"""Where the repository lies, and the real files beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "samples"
