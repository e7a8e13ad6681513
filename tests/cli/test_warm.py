"""`firstlight warm`: kernels that the first use would compile."""

from firstlight import kernels
from firstlight.cli import run


def test_the_kernels_of_a_bundle_are_compiled_and_their_folder_is_named(capsys):
    assert run(["warm", "--bundle", "fast"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("ready after ")
    assert str(kernels.folder_of_code()) in text


def test_where_no_code_can_be_kept_it_is_a_wrong_setting(monkeypatch, capsys):
    monkeypatch.setattr(kernels, "folder_of_code", lambda: None)
    assert run(["warm"]) == 2
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err
