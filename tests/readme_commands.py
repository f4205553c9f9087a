"""Print the n-th command of README.md's first code block, so that what runs is what the README says."""

import re
import sys
from pathlib import Path

block = re.search(r"```sh\n(.*?)```", (Path(__file__).parent.parent / "README.md").read_text("utf-8"), re.S)
commands = [line for line in block[1].splitlines() if line.strip() and not line.startswith("#")]
sys.stdout.write(commands[int(sys.argv[1]) - 1] + "\n")
