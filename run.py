"""Run a command in the project's own environment, which the first run makes: `python3 run.py pytest`.

Any Python with pip will do, and nothing is installed in it. uv makes the environment in `.venv`; where there is no uv,
pip puts it into the folder `.uv`: that is allowed to the Pythons of Debian, Ubuntu and others, too, in which pip must
install nothing (PEP 668), and needs neither `venv` nor `ensurepip`, which may be packages of their own there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main():
    """Become `uv run` of the command line."""
    uv = found_uv() or installed_uv()
    environment = dict(os.environ)
    if sys.version_info >= (3, 11) and not (ROOT / ".venv").exists():  # instead of an older Python, uv gets another one
        environment.setdefault("UV_PYTHON", sys.executable)
    os.execve(uv, [uv, "run", "--project", str(ROOT), *sys.argv[1:]], environment)


def found_uv():
    """A uv that runs: that of this folder, or of the system; None if there is none."""
    for path in (str(ROOT / ".uv" / "bin"), None):
        uv = shutil.which("uv", path=path)
        if uv and subprocess.run([uv, "--version"], capture_output=True).returncode == 0:
            return uv
    return None


def installed_uv():
    """The uv that pip has put into `.uv`."""
    anywhere = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}  # whatever pip's configuration says
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(ROOT / ".uv"), "uv"]
    uv = found_uv() if subprocess.run(pip, env=anywhere).returncode == 0 else None
    return uv or sys.exit(
        "uv could not be installed with pip, as it says above: install pip (on Debian and Ubuntu, `apt install"
        " python3-pip`) or uv (https://docs.astral.sh/uv), and run this command again"
    )


if __name__ == "__main__":
    main()
