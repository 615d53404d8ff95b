import pytest
from workshop import small_bench


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """Folder of a tiny backbone."""
    folder = tmp_path_factory.mktemp("trace") / "base"
    small_bench(folder)
    return folder


@pytest.fixture(scope="session")
def bench(tiny_base):
    return small_bench(tiny_base)
