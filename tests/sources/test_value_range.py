"""`--convert scale --range`: which values fill the dtype, and how exactly."""

import json

import numpy as np
import pytest
from helpers.conversions import files, invoke, properties, random_voxels, read
from helpers.processes import wkconvert
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wkconvert_core import Box
from wkconvert_core.contract.errors import ConversionError, OptionError
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.sources.casting import cast

SIZE = ["--voxel-size", "4,4,35"]
SCALE = ["--dtype", "uint8", "--convert", "scale"]
WHOLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
NUMBERS = st.floats(-1e6, 1e6)


def volume(dtype):
    numbers = {"allow_nan": False} if dtype.startswith("float") else {}
    return hnp.arrays(dtype, (1, 3, 2, 2), elements=hnp.from_dtype(np.dtype(dtype), **numbers))


@given(
    st.sampled_from(("float32", "float64", *WHOLE)).flatmap(volume),
    st.sampled_from((*WHOLE, "float32", "float64")).map(np.dtype),
    st.tuples(NUMBERS, NUMBERS).filter(lambda pair: pair[1] - pair[0] > 1e-3),
)
def test_values_are_mapped_as_interp_does(data, target, values):
    """numpy's piecewise linear function from `values` to the ends of the dtype, constant beyond, then rounded."""
    ends = (0, 1) if target.kind == "f" else (np.iinfo(target).min, np.iinfo(target).max)
    expected = np.interp(data.astype("float64"), values, ends)
    found = cast(data, target, "scale", Box((0, 0, 0), data.shape[1:]), values)
    assert found.dtype == target
    slack = 1e-6 if target.kind == "f" else 0.5 + 1e-6 * (ends[1] - ends[0]) / 1e3
    assert np.abs(found.astype("float64") - expected).max() <= slack
    exact = data.astype("float64")  # numpy compares in the array's dtype, which rounds the ends
    assert (found[exact <= values[0]] == ends[0]).all()
    assert (found[exact >= values[1]] == ends[1]).all()


@pytest.fixture
def floats(tmp_path, reader):
    voxels = np.linspace(-5, 5, 40**3, dtype="float32").reshape(1, 40, 40, 40)
    voxels[0, 0, 0, :2] = np.nan, np.inf
    return reader(tmp_path / "src", voxels), voxels


def expected_of(voxels, low, high):
    unit = (voxels.astype("float64") - low) / (high - low)
    return np.nan_to_num(np.rint(np.clip(unit, 0, 1) * 255), nan=0).astype("uint8")


def test_floats_of_any_range_become_bytes(tmp_path, floats):
    source, voxels = floats
    result = invoke("auto", source, tmp_path / "ds", *SIZE, *SCALE, "--range", "-4,4")
    assert (read(tmp_path / "ds") == expected_of(voxels, -4, 4)).all()
    assert "note: -4.0 to 4.0 become 0 to 255, values beyond are clipped; NaN becomes 0 (--range)" in result.stderr


def test_auto_tells_which_range_it_found_and_finds_it_again(tmp_path, floats):
    source, voxels = floats
    told = json.loads(invoke("auto", source, tmp_path / "ds", *SIZE, *SCALE, "--range", "auto", "--json").stdout)
    low, _, high = next(note for note in told["notes"] if "percentiles" in note).split()[:3]
    assert -5 < float(low) < -4.9
    assert 4.9 < float(high) < 5
    assert (read(tmp_path / "ds") == expected_of(voxels, float(low), float(high))).all()
    plan = json.loads((tmp_path / "ds" / ".wkconvert" / "color.auto.plan").read_text())
    assert plan["ranges"] == {"color": [float(low), float(high)]}
    invoke("auto", source, tmp_path / "again", *SIZE, *SCALE, "--range", f"{low},{high}")
    assert (read(tmp_path / "again") == read(tmp_path / "ds")).all()


def test_whole_numbers_of_the_same_dtype_are_stretched(tmp_path, reader):
    voxels = (np.arange(20**3) % 256).astype("uint8").reshape(1, 20, 20, 20)
    invoke("auto", reader(tmp_path / "src", voxels), tmp_path / "ds", *SIZE, *SCALE, "--range", "100,200")
    assert (read(tmp_path / "ds") == expected_of(voxels, 100, 200)).all()


def test_recube_scales_every_mag_alike_and_verify_agrees(tmp_path, floats):
    source, _ = floats
    invoke("auto", source, tmp_path / "ds", *SIZE, "--max-mag", "2")
    invoke("recube", tmp_path / "ds", tmp_path / "bytes", *SCALE, "--range", "-4,4")
    for mag in ("1", "2-2-1"):
        assert (read(tmp_path / "bytes", mag=mag) == expected_of(read(tmp_path / "ds", mag=mag), -4, 4)).all()
    stretch = invoke("recube", tmp_path / "bytes", tmp_path / "stretched", *SCALE, "--range", "10,20")
    assert "10.0 to 20.0 become 0 to 255" in stretch.stderr
    assert invoke("verify", tmp_path / "stretched", "--deep").exit_code == 0
    assert properties(tmp_path / "bytes")["dataLayers"][0]["elementClass"] == "uint8"


def test_stretched_mags_are_no_longer_made_of_finer_ones(tmp_path, reader):
    invoke("auto", reader(tmp_path / "src", random_voxels((40, 40, 40))), tmp_path / "ds", *SIZE, "--category", "color")
    assert "made by median" in invoke("verify", tmp_path / "ds").stdout
    invoke("recube", tmp_path / "ds", tmp_path / "stretched", *SCALE, "--range", "50,60")
    told = invoke("verify", tmp_path / "stretched", "--deep")
    assert (told.exit_code, "made by median" in told.stdout) == (0, False)


@pytest.mark.parametrize("text", ["4,-4", "4", "1,2,3", "a,b", "nan,1", "-inf,1", "0,1e999", "Auto", "", "3,3"])
def test_what_is_no_range_is_refused(tmp_path, floats, text):
    result = wkconvert("auto", floats[0], tmp_path / "ds", *SIZE, *SCALE, "--range", text)
    assert result.returncode == 2
    assert "--range" in result.stderr
    assert not files(tmp_path, "ds/**/*")


def test_a_range_alone_means_nothing(tmp_path, floats):
    for given_ in ([], ["--dtype", "uint8"], ["--dtype", "uint8", "--convert", "clip"], ["--convert", "scale"]):
        with pytest.raises(OptionError, match="--range needs --dtype and --convert scale"):
            invoke("auto", floats[0], tmp_path / "ds", *SIZE, "--range", "0,1", *given_)


def test_nothing_to_tell_apart_is_no_range(tmp_path, reader):
    flat = reader(tmp_path / "src", np.full((1, 20, 20, 20), 7, "uint16"))
    with pytest.raises(OptionError, match=r"--range auto finds no range.*say --range LOW,HIGH"):
        invoke("auto", flat, tmp_path / "ds", *SIZE, *SCALE, "--range", "auto")


def test_scale_without_a_range_names_it(tmp_path, floats):
    with pytest.raises(ConversionError, match="say which values are mapped with --range LOW,HIGH, or --range auto"):
        invoke("auto", floats[0], tmp_path / "ds", *SIZE, *SCALE)


def test_settings_take_numbers_and_text():
    settings = [Settings(dtype="uint8", convert="scale", range=said) for said in ((-4, 4), [-4, 4], "-4,4")]
    assert [one.range for one in settings] == 3 * [(-4.0, 4.0)]
    settings[0].check()
