"""Lint the Dockerfile and take its steps in a folder: what a machine without docker can tell of it.

The image's folders become folders below a temporary one, its Python is the one that runs this. Left out: adding a user.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("/src", "/opt/wkconvert", "/data")


def main() -> None:
    """Run each instruction; exits with the first one that fails."""
    subprocess.run(["hadolint", ROOT / "Dockerfile"], check=True)
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.M).replace("\\\n", "")
    ignored = shutil.ignore_patterns(
        *(line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().split())
    )
    with tempfile.TemporaryDirectory() as image:
        environment, folder = {**os.environ, "PIP_QUIET": "2"}, Path(image)
        for line in filter(None, text.splitlines()):
            name, _, rest = line.partition(" ")
            rest = re.sub("|".join(map(re.escape, FOLDERS)), lambda match: image + match[0], rest)
            if name == "WORKDIR":
                folder = Path(rest)
                folder.mkdir(parents=True, exist_ok=True)
            elif name == "COPY" and not rest.startswith("--from"):
                shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
            elif name == "ENV":
                key, _, value = rest.partition("=")
                environment[key] = value.replace("$PATH", environment["PATH"])
            elif name == "RUN" and not rest.startswith("useradd"):
                python = f'python() {{ "{sys.executable}" "$@"; }}; '
                subprocess.run(["sh", "-ec", python + rest], cwd=folder, env=environment, check=True)
        for command in ("wkconvert --help", "wkconvert demo demo", "wkconvert plugins", "wkconvert preview demo"):
            subprocess.run(command.split(), cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        assert sorted(path.name for path in folder.iterdir()) == ["demo", "demo-preview.png", "demo-stack"]


if __name__ == "__main__":
    main()
