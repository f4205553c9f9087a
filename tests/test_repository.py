"""What the repository itself promises: pins, README, lean imports."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from wkconvert_core import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
HEAVY = [
    "dask",
    "distributed",
    "numpy",
    "scipy",
    "joblib",
    "tifffile",
    "imageio",
    "imagecodecs",
    "PIL",
    "bioio",
    "nibabel",
    "h5py",
    "pydicom",
    "ncempy",
    "wkw",
    "psutil",
]


def imported_by(code):
    listing = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout
    return {line.split(".")[0] for line in out.splitlines()}


def test_looking_at_a_file_imports_no_more_of_a_reader_than_that_takes(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    code = (
        f"import pathlib; from wkconvert_core.registry import detection, plugins; "
        f"detection.find(pathlib.Path({str(tmp_path / 'a.tif')!r}), plugins.plugins()); "
        "import sys; print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"wkconvert_itk.detection", "wkconvert_tiles", "wkconvert_zarr"} <= {*found}
    assert not {"wkconvert_itk.header", "wkconvert_tiles.numbered_layout", "configparser"} & {*found}


def test_both_lists_of_pinned_versions_are_the_same():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == PROJECT["tool"]["uv"]["constraint-dependencies"]


def test_no_pin_has_an_address():
    assert "://" not in (ROOT / "constraints.txt").read_text("utf-8")


def test_the_readme_begins_with_two_commands():
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    first, second = block[1].strip().splitlines()
    assert first == "python3 run.py wkconvert demo demo"
    assert second == "python3 run.py pytest"


FAKE_UV = '#!/bin/sh\n[ "$*" = --version ] && exit 0\necho "$@" "$UV_PYTHON"\nexit 7\n'
PIP = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--target") + 1], "bin")
folder.mkdir(parents=True)
(folder / "uv").write_text(os.environ["FAKE_UV"])
(folder / "uv").chmod(0o755)
print(sys.argv[1], os.environ["PIP_USER"], os.environ["PIP_REQUIRE_VIRTUALENV"], flush=True)
"""


def run_py(folder, pip, **environment):
    """What `run.py pytest -x` does in a clone without any uv, with another pip."""
    (folder / "site" / "pip").mkdir(parents=True)
    (folder / "site" / "pip" / "__init__.py").touch()
    (folder / "site" / "pip" / "__main__.py").write_text(pip)
    shutil.copy(ROOT / "run.py", folder)
    environment = {"PATH": str(folder), "PYTHONPATH": str(folder / "site"), "FAKE_UV": FAKE_UV, **environment}
    line = [sys.executable, folder / "run.py", "pytest", "-x"]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def test_without_uv_pip_puts_one_into_a_folder_whatever_its_configuration_says(tmp_path):
    done = run_py(tmp_path, PIP, PIP_USER="1", PIP_REQUIRE_VIRTUALENV="1")
    assert done.stdout.splitlines() == ["install 0 0", f"run --project {tmp_path} pytest -x {sys.executable}"]
    assert done.returncode == 7


def test_a_uv_that_runs_is_taken_and_an_environment_keeps_its_python(tmp_path):
    (tmp_path / "uv").write_text(FAKE_UV)
    (tmp_path / "uv").chmod(0o755)
    (tmp_path / ".venv").mkdir()
    done = run_py(tmp_path, "raise SystemExit('pip was asked')")
    assert done.stdout.splitlines() == [f"run --project {tmp_path} pytest -x "]


def test_a_uv_that_does_not_run_and_no_pip_are_told_with_what_to_do(tmp_path):
    (tmp_path / "uv").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "uv").chmod(0o755)
    done = run_py(tmp_path, "raise SystemExit('No module named pip')")
    assert done.returncode == 1
    assert "No module named pip" in done.stderr
    assert "apt install python3-pip" in done.stderr


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text("utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("code", ["import wkconvert_core", "import wkconvert_core.cli.app"])
def test_starting_imports_nothing_heavy(code):
    assert imported_by(code).isdisjoint(HEAVY)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['wkconvert', 'auto', '--help']\n"
        "from wkconvert_core.cli.app import app\n"
        "try: app()\nexcept SystemExit: pass"
    )
    assert imported_by(code).isdisjoint(HEAVY)


def test_loading_every_plugin_and_detecting_imports_no_format_library(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(100))
    code = (
        "from pathlib import Path; from wkconvert_core.registry.plugins import plugins\n"
        "from wkconvert_core.registry import answers\n"
        f"path = Path({str(tmp_path / 'a.tif')!r})\n"
        "answers.ask(path, plugins()); answers.ask(path.parent, plugins())"
    )
    assert imported_by(code).isdisjoint(set(HEAVY) - {"numpy"})


# --- what is shipped --------------------------------------------------------------------------------------------------


def distributions():
    """The `project` table of each distribution that is published, by folder."""
    files = [ROOT / "pyproject.toml", *ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]
    return {file.parent: tomllib.loads(file.read_text("utf-8")) for file in files}


def test_all_distributions_have_one_version():
    for folder, document in distributions().items():
        stated = (folder / document["tool"]["hatch"]["version"]["path"]).resolve()
        assert stated == ROOT / "wkconvert_core" / "__init__.py"
    assert f'version: "{__version__}"' in (ROOT / "conda/recipe.yaml").read_text("utf-8")


def test_the_conda_packages_need_what_the_distributions_need():
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text("utf-8"))
    outputs = {output["package"]["name"]: output["requirements"]["run"] for output in recipe["outputs"]}
    projects = {document["project"]["name"]: document["project"] for document in distributions().values()}
    assert outputs.keys() == projects.keys() - {"napari-wkconvert"}
    for name, needed in outputs.items():
        lines = list(projects[name]["dependencies"])
        if name == "wkconvert-images":
            lines += projects[name]["optional-dependencies"]["tiff"]
        stated = [re.sub(r"\[.*?\]", "", line.split(";")[0]).strip() for line in lines]
        stated = ["python-" * line.startswith("isal") + line for line in stated]  # its name there
        of_conda = [re.sub(r" ?==.*| ", "", line) for line in needed if not line.startswith("python ")]
        assert sorted(of_conda) == sorted(stated)


def test_the_workflows_and_the_citation_can_be_read():
    for name in (".github/workflows/ci.yml", ".github/workflows/release.yml", "CITATION.cff"):
        assert yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_the_benchmarks_list_every_row():
    text = (ROOT / "benchmarks/__main__.py").read_text("utf-8")
    index = re.findall(r"^([a-z0-9-]+)  +\S", text.split('"""')[1], re.M)
    assert index == re.findall(r'^            (?:auto|on)\("([a-z0-9-]+)"', text, re.M)
    assert "em-zarr3" in index


# --- what can be read -------------------------------------------------------------------------------------------------

PRODUCT = [
    path
    for folder in (ROOT / "wkconvert_core", ROOT / "benchmarks", *ROOT.glob("packages/*/*"), *ROOT.glob("plugins/*/*"))
    if folder.name != "tests"
    for path in folder.rglob("*.py")
]


def test_no_module_has_more_than_300_lines():
    lines = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8").count("\n") for path in PRODUCT}
    assert len(lines) > 200
    assert {path: count for path, count in lines.items() if count > 300} == {}


def test_no_package_has_more_than_12_modules():
    counts = Counter(path.relative_to(ROOT).parent.as_posix() for path in PRODUCT)
    assert counts["wkconvert_core/contract"] > 10
    assert {package: count for package, count in counts.items() if count > 12} == {}
