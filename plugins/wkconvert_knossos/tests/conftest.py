"""What the tests of this plugin share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `cubes_of`, which is no package
