import pytest

from builders import save_tiny_bolt


@pytest.fixture(scope="session")
def tiny_bolt(tmp_path_factory):
    return save_tiny_bolt(tmp_path_factory.mktemp("weights") / "tiny")
