"""Extras that are not installed are named."""

import os

import pytest

from tsmemory.errors import UserError
from tsmemory.integrations.extras import MissingExtraError, require


def test_what_is_installed_is_imported():
    assert require("json", extra="x").loads("1") == 1
    assert require("os.path", extra="x").sep


@pytest.mark.parametrize("module", ["not_there", "not_there.inner"])
def test_what_is_not_installed_is_named_with_its_extra(module):
    message = r"not_there is not installed; .*pip install 'tsmemory\[tools\]'"
    with pytest.raises(MissingExtraError, match=message):
        require(module, extra="tools")
    assert issubclass(MissingExtraError, UserError)
    assert issubclass(MissingExtraError, ImportError)


def test_an_error_inside_an_installed_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs") as caught:
        require("half_there", extra="x")
    assert not isinstance(caught.value, MissingExtraError)


def test_mlflow_is_asked_to_report_nothing_unless_the_user_has_chosen(monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    require("mlflow", extra="mlflow")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    require("mlflow", extra="mlflow")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
