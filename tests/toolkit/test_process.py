"""What counts as available: the container's limit where it is the smaller one."""

import psutil
import pytest

from wkconvert_core.toolkit import process as memory


@pytest.mark.parametrize(("limit", "current", "expected"), [("1000", "400", 650), ("1000", "2000", 0)])
def test_the_limit_of_a_container_counts(tmp_path, monkeypatch, limit, current, expected):
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(current)
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 50\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available() == expected


@pytest.mark.parametrize("limit", ["max\n", None])
def test_without_a_limit_the_machine_counts(tmp_path, monkeypatch, limit):
    if limit:
        (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert 0 < memory.available() <= psutil.virtual_memory().total
