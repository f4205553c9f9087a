"""Files of every version, byte order and data type, against the arrays that they were written from."""

import numpy as np
import pytest
from dm_files import FLAVOURS, KINDS, encode, image, layer, number, source, text, tree, volume, voxels, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wkconvert_core import Box, BrokenSource, OptionError, UnsupportedSource
from wkconvert_core.testing import noise
from wkconvert_core.toolkit import raw_rows

REAL = [name for name in KINDS if not name.startswith("complex")]


@pytest.mark.parametrize(("version", "order"), FLAVOURS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("shape", [(7, 5), (3, 7, 5)], ids=["image", "stack"])
def test_every_real_data_type_is_read_as_it_is(tmp_path, version, order, dtype, shape):
    array = noise(*shape, dtype=dtype)
    path = write(tmp_path / "a.dm3", image(array), version=version, order=order)
    found = voxels(path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, volume(array))


def test_uint8_is_not_int8(tmp_path):
    array = np.array([[200, 255, 0, 127]], "uint8")
    np.testing.assert_array_equal(voxels(write(tmp_path / "a.dm4", image(array), version=4)), volume(array))


def test_any_byte_but_0_is_true(tmp_path):
    path = write(tmp_path / "a.dm3", image(np.array([[0, 1], [2, 255]], "uint8"), KINDS["bool"]))
    np.testing.assert_array_equal(voxels(path)[0, :, :, 0], [[False, True], [True, True]])


@pytest.mark.parametrize(("version", "order"), FLAVOURS)
@pytest.mark.parametrize("kind", [8, 23])
def test_colours_are_red_green_blue_and_alpha_is_dropped_with_a_note(tmp_path, version, order, kind):
    array = np.array([[0x7F102030, 0x01FF0080], [0x00000000, 0x40FFFFFF]], "i4")
    path = write(tmp_path / "a.dm3", image(array, kind), version=version, order=order)
    found = layer(path)
    assert found.category == "color"
    assert (found.source.info.channels, found.source.info.dtype) == (3, np.uint8)
    assert found.source.info.notes == ("the fourth byte of each RGB value (alpha) dropped",)
    expected = [[[0x10, 0x20, 0x30], [0xFF, 0, 0x80]], [[0, 0, 0], [255, 255, 255]]]
    np.testing.assert_array_equal(voxels(path)[:, :, :, 0].T, np.array(expected).transpose(0, 1, 2))


@pytest.mark.parametrize(("version", "order"), FLAVOURS)
@pytest.mark.parametrize(("dtype", "real"), [("complex64", "float32"), ("complex128", "float64")])
@pytest.mark.parametrize(
    ("component", "function"), [("abs", np.abs), ("real", np.real), ("imag", np.imag), ("phase", np.angle)]
)
def test_a_component_of_complex_values_is_read(tmp_path, version, order, dtype, real, component, function):
    array = noise(2, 6, 5, dtype=dtype)
    path = write(tmp_path / "a.dm3", image(array), version=version, order=order)
    found = voxels(path, component=component)
    assert found.dtype == real
    np.testing.assert_array_equal(found, volume(function(array)))
    assert source(path, component=component).info.notes == (f"component {component} of complex values",)


def test_complex_values_without_a_component_are_an_error_that_says_so(tmp_path):
    path = write(tmp_path / "a.dm3", image(noise(4, 4, dtype="complex64")))
    with pytest.raises(UnsupportedSource, match=r"a\.dm3 holds complex.*-o component=abs, real, imag or phase"):
        source(path)


def test_a_component_of_real_values_is_noted_and_changes_nothing(tmp_path):
    array = noise(4, 4)
    path = write(tmp_path / "a.dm3", image(array))
    np.testing.assert_array_equal(voxels(path, component="phase"), volume(array))
    assert source(path, component="phase").info.notes == (
        "component=phase does not matter: the values are not complex",
    )


@pytest.mark.parametrize(
    ("stored", "kind", "message"),
    [
        (noise(4, 4, dtype="float32"), 5, "packed complex64"),
        (noise(4, 3, dtype="complex64"), 27, "packed complex64"),
        (noise(4, 3, dtype="complex128"), 28, "packed complex128"),
        (noise(4, 4, dtype="int64"), 39, r"data type 39\. the types that can be read are 1 \(int16\), 2 \(float32\)"),
    ],
)
def test_other_data_types_are_declined_with_the_reason(tmp_path, stored, kind, message):
    with pytest.raises(UnsupportedSource, match=rf"a\.dm4 holds .*{message}"):
        source(write(tmp_path / "a.dm4", image(stored, kind), version=4))


@pytest.mark.parametrize(
    ("shape", "size"), [((5,), "5"), ((2, 3, 4, 5), "5 x 4 x 3 x 2"), ((2, 1, 4, 5), "5 x 4 x 1 x 2")]
)
def test_other_numbers_of_axes_are_declined_with_the_size(tmp_path, shape, size):
    with pytest.raises(UnsupportedSource, match=rf"a\.dm3 is no volume.*its size is {size};"):
        source(write(tmp_path / "a.dm3", image(noise(*shape))))


def test_axes_of_length_1_at_the_end_do_not_count(tmp_path):
    array = noise(3, 4, 5)
    np.testing.assert_array_equal(voxels(write(tmp_path / "a.dm3", image(array[None, None]))), volume(array))
    np.testing.assert_array_equal(voxels(write(tmp_path / "b.dm3", image(array[:1, :1]))), volume(array[:1, :1]))


class TestObjects:
    ONE, TWO, CURVE = noise(4, 5), noise(3, 6, 7, dtype="int16"), noise(9, dtype="float32")

    def test_the_thumbnail_is_no_object(self, tmp_path):
        path = write(tmp_path / "a.dm3", image(self.ONE))
        np.testing.assert_array_equal(voxels(path), volume(self.ONE))
        np.testing.assert_array_equal(voxels(path, object=0), volume(self.ONE))
        with pytest.raises(OptionError, match=r"no object 1.*choose one of 0: 5 x 4, uint8"):
            source(path, object=1)

    def test_a_thumbnail_is_known_by_its_number_not_by_its_place(self, tmp_path):
        root = tree(image(self.ONE), image(self.TWO), thumbnail=False)
        root["Thumbnails"] = [{"ImageIndex": number(1)}]
        (tmp_path / "a.dm3").write_bytes(encode(root))
        np.testing.assert_array_equal(voxels(tmp_path / "a.dm3"), volume(self.ONE))

    def test_a_file_without_a_thumbnail_is_read(self, tmp_path):
        path = write(tmp_path / "a.dm3", image(self.TWO), thumbnail=False)
        np.testing.assert_array_equal(voxels(path), volume(self.TWO))

    def test_several_are_an_error_that_lists_them_until_one_is_chosen(self, tmp_path):
        path = write(tmp_path / "a.dm3", image(self.ONE, name="HAADF"), image(self.TWO), image(self.CURVE))
        listed = r"0: 'HAADF', 5 x 4, uint8; 1: 7 x 6 x 3, int16; 2: 9, float32"
        with pytest.raises(UnsupportedSource, match=rf"a\.dm3 holds 3 data sets: {listed}.*-o object=N"):
            source(path)
        np.testing.assert_array_equal(voxels(path, object=0), volume(self.ONE))
        np.testing.assert_array_equal(voxels(path, object=1), volume(self.TWO))
        assert source(path, object=1).info.notes == (
            "object 1 is read; left out: 0 ('HAADF', 5 x 4, uint8), 2 (9, float32)",
        )
        for wrong in (-1, 3):
            with pytest.raises(OptionError, match=f"no object {wrong}.*{listed}"):
                source(path, object=wrong)
        with pytest.raises(UnsupportedSource, match="no volume"):
            source(path, object=2)

    def test_an_only_image_beside_curves_is_read_with_a_note(self, tmp_path):
        path = write(tmp_path / "a.dm3", image(self.CURVE), image(self.ONE))
        np.testing.assert_array_equal(voxels(path), volume(self.ONE))
        assert source(path).info.notes == ("object 1 is read; left out: 0 (9, float32)",)

    def test_a_note_on_many_objects_is_short(self, tmp_path):
        path = write(tmp_path / "a.dm3", *[image(self.CURVE)] * 30, image(self.ONE))
        (note,) = source(path).info.notes
        assert note.endswith("4 (9, float32) and 25 more")

    @pytest.mark.parametrize("thumbnail", [True, False])
    def test_a_file_with_no_image_says_so(self, tmp_path, thumbnail):
        with pytest.raises(UnsupportedSource, match=r"a\.dm3 holds no image"):
            source(write(tmp_path / "a.dm3", thumbnail=thumbnail))


class TestCalibration:
    def size(self, path, *scales, shape=(3, 4, 5), **more):
        info = source(write(path / "a.dm4", image(noise(*shape), scales=scales, **more), version=4)).info
        return info.voxel_size and (info.voxel_size.size, info.voxel_size.unit), info.notes

    @pytest.mark.parametrize(
        ("unit", "symbol"),
        [
            ("nm", "nm"),
            ("um", "µm"),
            ("µm", "µm"),
            ("μm", "µm"),
            ("A", "Å"),
            ("Å", "Å"),
            ("pm", "pm"),
            ("mm", "mm"),
            ("m", "m"),
            ("nm\0", "nm"),
        ],
    )
    def test_every_axis_has_its_own(self, tmp_path, unit, symbol):
        found = self.size(tmp_path, (0.25, unit), (3, unit), (50, unit))
        assert found == (((0.25, 3, 50), symbol), ())

    @pytest.mark.parametrize(("version", "order"), FLAVOURS)
    def test_it_is_what_the_file_says_to_the_last_bit(self, tmp_path, version, order):
        array, scale = noise(2, 3), np.float32(0.1)
        write(tmp_path / "a.dm3", image(array, scales=[(scale, "nm")] * 2), version=version, order=order)
        assert source(tmp_path / "a.dm3").info.voxel_size.size == (float(scale), float(scale), None)

    def test_axes_with_different_units_become_nm(self, tmp_path):
        found, notes = self.size(tmp_path, (2, "pm"), (3, "nm"), (4, "um"))
        assert (found, notes) == (((0.002, 3, 4000), "nm"), ())

    def test_what_is_no_length_is_left_out_with_a_note(self, tmp_path):
        found, notes = self.size(tmp_path, (2, "nm"), (3, "1/nm"), (0.5, "eV"))
        assert found == ((2, None, None), "nm")
        assert notes == (
            "y: the calibration 3 1/nm is no length, and is left out",
            "z: the calibration 0.5 eV is no length, and is left out",
        )

    def test_nothing_known_is_none(self, tmp_path):
        assert self.size(tmp_path, (1, ""), (1, ""), (0, "")) == (None, ())
        assert self.size(tmp_path) == (None, ())
        found, notes = self.size(tmp_path, (7, ""), (1, ""))
        assert (found, notes) == (None, ("x: the calibration 7 has no unit, and is left out",))

    def test_a_third_axis_that_was_never_calibrated_stays_open(self, tmp_path):
        assert self.size(tmp_path, (7, "nm"), (7, "nm")) == (((7, 7, None), "nm"), ())

    @pytest.mark.parametrize("wrong", [0.0, float("nan"), float("inf")])
    def test_impossible_sizes_are_left_out_with_a_note(self, tmp_path, wrong):
        found, notes = self.size(tmp_path, (wrong, "nm"), (5, "nm"), shape=(4, 5))
        assert found == ((None, 5, None), "nm")
        assert notes == (f"x: a voxel cannot measure {wrong:g} nm; this calibration is left out",)

    def test_a_negative_size_counts_by_its_magnitude_with_a_note(self, tmp_path):
        found, notes = self.size(tmp_path, (4, "nm"), (-5, "nm"), shape=(4, 5))
        assert found == ((4, 5, None), "nm")
        assert notes == ("y: the calibration -5 nm is negative; its magnitude is taken",)

    def test_a_wavelength_is_no_voxel_size(self, tmp_path):
        scales = [(4, "nm"), (5, "nm"), (0.125, "nm")]
        note = "an axis of energies or wavelengths, which gives no voxel size"
        found = self.size(tmp_path, *scales, form="Spectrum image")
        assert found == (((4, 5, None), "nm"), (f"z: {note}",))
        found = self.size(tmp_path, *scales, form="Spectrum image", shape=(4, 5))
        assert found == (((None, 5, None), "nm"), (f"x: {note}",))
        assert self.size(tmp_path, *scales, form="Image")[0] == ((4, 5, 0.125), "nm")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_every_box_equals_that_part_of_the_whole(tmp_path, monkeypatch, data):
    """However rows are read: one by one, many at once, or whole slices."""
    monkeypatch.setattr(raw_rows, "_GAP", data.draw(st.sampled_from([1, 40, 1 << 20])))
    monkeypatch.setattr(raw_rows, "_SPAN", data.draw(st.sampled_from([1, 50, 1 << 20])))
    array = noise(6, 9, 31, dtype="uint16")
    of = source(write(tmp_path / "a.dm3", image(array), order=">"))
    corners = [sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2))) for n in of.info.shape]
    box = Box.between(*zip(*corners, strict=True))
    np.testing.assert_array_equal(of.read(box), volume(array)[:, *box.slices_in(of.info.box)])


def test_a_box_beyond_the_volume_is_a_mistake(tmp_path):
    of = source(write(tmp_path / "a.dm3", image(noise(4, 5))))
    with pytest.raises(ValueError, match="not within"):
        of.read(Box((0, 0, 0), (6, 1, 1)))


def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path):
    path = write(tmp_path / "a.dm3", image(noise(4, 5)))
    of = source(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match=r"a\.dm3 has changed"):
        of.read(of.info.box)
    path.unlink()
    with pytest.raises(OSError, match=r"a\.dm3 cannot be read"):
        of.read(of.info.box)


def test_names_of_any_length_and_letters_do_no_harm(tmp_path):
    root = tree(image(noise(4, 5), name="Grüße 🙂" + "x" * 5000))
    root["n" * 65535] = text("y" * 100_000)
    root["\xff\0"] = number(1)
    (tmp_path / "a.dm4").write_bytes(
        encode({k.encode().decode("latin-1"): v for k, v in root.items() if len(k) < 65536}, 4)
    )
    np.testing.assert_array_equal(voxels(tmp_path / "a.dm4"), volume(noise(4, 5)))


@pytest.mark.parametrize("across", [100, 5000])
def test_a_box_costs_the_chunks_that_it_touches(tmp_path, monkeypatch, across):
    of = source(write(tmp_path / "a.dm3", image(noise(3, 4, across, dtype="int16"))))
    chunk = min(across, 2048)
    assert of.info.chunk_shape == (chunk, 1, 1)
    read, fill = [], raw_rows.fill
    monkeypatch.setattr(raw_rows, "fill", lambda file, out, start: read.append(out.nbytes) or fill(file, out, start))
    for start, length in ((0, 1), (40, 60), (across - 7, 7), (0, across)):
        read.clear()
        of.read(Box((start, 1, 1), (length, 2, 2)))
        cost = min(-(-(start + length) // chunk) * chunk, across) - start // chunk * chunk
        assert sum(read) <= 2 * 2 * 2 * cost


def test_where_the_stage_stood_is_told(tmp_path):
    array = noise(7, 5, dtype="uint8")
    assert (
        source(write(tmp_path / "a.dm4", image(array, stage=(120.5, -3)), version=4)).info.stage
        == "x 120.5 µm, y -3 µm"
    )
    assert source(write(tmp_path / "b.dm4", image(array), version=4)).info.stage == ""
