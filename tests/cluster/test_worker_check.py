"""What a worker checks before its first task: packages, plugins, and that it sees source and target."""

from dataclasses import replace

import pytest

from wkconvert_core.cluster.worker_check import Ticket, soon, versions, witnessed
from wkconvert_core.contract.errors import ResourceError


def test_a_folder_that_may_not_be_looked_into_is_not_there(monkeypatch):
    def forbidden():
        raise PermissionError

    monkeypatch.setattr("wkconvert_core.cluster.worker_check.PATIENCE", 0.0)
    assert not soon(forbidden)
    answers = iter([False, True])
    monkeypatch.setattr("wkconvert_core.cluster.worker_check.PATIENCE", 5.0)
    assert soon(lambda: next(answers))


def test_an_empty_folder_in_the_place_of_the_source_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("wkconvert_core.cluster.worker_check.PATIENCE", 0.0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "slice_1.tif").touch()
    (tmp_path / "data" / ".hidden").touch()
    ticket = Ticket("0", versions(), reads=(witnessed(tmp_path / "data"), witnessed(tmp_path / "data/slice_1.tif")))
    assert ticket.reads == ((str(tmp_path / "data"), "slice_1.tif"), (str(tmp_path / "data/slice_1.tif"),))
    ticket.check()
    (tmp_path / "data" / "slice_1.tif").unlink()
    with pytest.raises(ResourceError, match=r"does not see the source: .*slice_1\.tif"):
        replace(ticket, token="1").check()  # what was checked once is not checked again
