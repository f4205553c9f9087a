"""Print commands of README.md, so that what runs is what it says.

`readme_commands.py 2`: the second one of the first code block. `readme_commands.py "pip install"`: all that begin so.
"""

import re
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
blocks = [block.replace("\\\n", " ").splitlines() for block in re.findall(r"```sh\n(.*?)```", README, re.S)]
wanted = sys.argv[1]
if wanted.isdecimal():
    commands = [blocks[0][int(wanted) - 1]]
else:
    commands = [line for block in blocks for line in block if line.startswith(wanted)]
if not commands:
    sys.exit(f"README.md has no command that begins with {wanted!r}")
sys.stdout.write("\n".join(commands) + "\n")
