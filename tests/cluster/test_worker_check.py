"""What a worker checks before its first task: packages, plugins, and that it sees source and target."""

from dataclasses import replace

import pytest

from wkconvert_core.cluster.worker_check import Ticket, path_witness, versions, wait_until
from wkconvert_core.contract.errors import ResourceError


def test_a_folder_that_may_not_be_looked_into_is_not_there(monkeypatch):
    def forbidden():
        raise PermissionError

    monkeypatch.setattr("wkconvert_core.cluster.worker_check.PATIENCE", 0.0)
    assert not wait_until(forbidden)
    answers = iter([False, True])
    monkeypatch.setattr("wkconvert_core.cluster.worker_check.PATIENCE", 5.0)
    assert wait_until(lambda: next(answers))


def test_an_empty_folder_in_the_place_of_the_source_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("wkconvert_core.cluster.worker_check.PATIENCE", 0.0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "slice_1.tif").touch()
    (tmp_path / "data" / ".hidden").touch()
    witnesses = (path_witness(tmp_path / "data"), path_witness(tmp_path / "data/slice_1.tif"))
    ticket = Ticket("0", versions(), reads=witnesses)
    assert ticket.reads == ((str(tmp_path / "data"), "slice_1.tif"), (str(tmp_path / "data/slice_1.tif"),))
    ticket.check()
    (tmp_path / "data" / "slice_1.tif").unlink()
    with pytest.raises(ResourceError, match=r"does not see the source: .*slice_1\.tif"):
        replace(ticket, token="1").check()  # what was checked once is not checked again
