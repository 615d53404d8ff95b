import pytest

from builders import save_tiny_bolt
from tiny_models import save_tiny_chronos2, save_tiny_timesfm


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Where the tests' models lie."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="session")
def tiny_bolt(weights):
    return save_tiny_bolt(weights / "tiny")


@pytest.fixture(scope="session")
def plain_bolt(weights):
    """Without REG token."""
    return save_tiny_bolt(weights / "plain", reg=False)


@pytest.fixture(scope="session")
def tiny_chronos2(weights):
    return save_tiny_chronos2(weights / "tiny2")


@pytest.fixture(scope="session")
def tiny_timesfm(weights):
    return save_tiny_timesfm(weights / "tinyfm")
