import os

# Before numpy and torch start their threads: two processes of two threads each crawl on two cores.
os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data():
    """Find a public data file that does not ship with the project, or skip the test."""
    folder = Path(os.environ.get("TSMEMORY_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"{name} is not there; set TSMEMORY_SHARED_DATA to a folder that holds it")
        return path

    return find
