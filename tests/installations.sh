#!/bin/sh
# Core alone, core with one plugin, and the whole on the newest Python: in environments of their own, from built wheels.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv="python3 -m uv"

newest() { # the newest Python 3 that is installed, however it got there
    for python in $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3 2>/dev/null) \
        $(command -v python3.11 python3.12 python3.13 python3.14 python3.15 python3 || true); do
        "$python" -c 'import sys; print("%d.%02d" % sys.version_info[:2], sys.executable)' 2>/dev/null || true
    done | sort -V | tail -n 1 | cut -d' ' -f2
}

environment() { # environment NAME PYTHON: a fresh one
    $uv venv -q --python "$2" "$work/$1"
}

install() { # install NAME WHAT...: at the pinned versions
    name=$1; shift
    $uv pip install -q --python "$work/$name/bin/python" --constraint constraints.txt --find-links "$work/wheels" "$@"
}

$uv build -q --all-packages --wheel --out-dir "$work/wheels"

echo "-- core alone: no reader, no format library, and its own tests"
environment core python3
install core wkconvert pytest hypothesis
"$work/core/bin/wkconvert" plugins
"$work/core/bin/python" -m pytest -q -p no:cacheprovider \
    tests/contract tests/conversion tests/registry/test_detection.py tests/registry/test_plugins.py tests/formats \
    tests/commands/test_demo.py tests/end_to_end/test_real_files.py tests/end_to_end/test_example_plugin.py

for name in dm knossos nifti tiff tiles; do
    echo "-- core with wkconvert-$name: the plugin's tests, and no other plugin's library"
    environment "$name" python3
    install "$name" "wkconvert[$name]" pytest hypothesis
    "$work/$name/bin/python" tests/helpers/check_installed.py "$name"
    "$work/$name/bin/python" -m pytest -q "plugins/wkconvert_$name" -p no:cacheprovider
done
"$work/tiff/bin/python" -m pytest -q packages -p no:cacheprovider

python=$(newest)
echo "-- everything on $($python --version)"
environment newest "$python"
install newest "wkconvert[all,cluster]" wkconvert-example pytest hypothesis wkw
# what takes minutes and depends on no version of Python: kills, budgets, a scheduler's jobs
"$work/newest/bin/python" -m pytest -q -p no:cacheprovider --ignore tests/end_to_end/test_faults.py --ignore tests/cluster/test_slurm.py \
    --ignore tests/end_to_end/test_memory.py --ignore tests/end_to_end/test_scale.py
