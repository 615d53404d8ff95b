"""One whole run in the environment ``test``, and copies of the project to run other ways."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from projects import Project

Make = Callable[..., Project]


@pytest.fixture(scope="session", autouse=True)
def brief_timing() -> Iterator[None]:
    """Latencies are measured with a few calls: no test looks at their values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsmemory.evaluation.cost._BUDGET_SECONDS", 0.0)
        patch.setenv("COLUMNS", "120")
        yield


@pytest.fixture(scope="session")
def connections() -> list[object]:
    """Addresses that the base run tried to connect to."""
    return []


@pytest.fixture(scope="session")
def base(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, connections: list[object]
) -> Project:
    """A project after one whole run without a network; tests read it and copy it."""
    project = Project.make(repository, tmp_path_factory.mktemp("base"))

    def refuse(_: socket.socket, address: object, *__: object) -> None:
        connections.append(address)
        raise OSError(f"no network here: {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        project.run()
    return project


@pytest.fixture
def fresh(repository: Path, tmp_path: Path) -> Project:
    """A project that has never run."""
    return Project.make(repository, tmp_path)


@pytest.fixture
def grown(base: Project, tmp_path: Path) -> Project:
    """A copy of the base project, artefacts included."""
    return base.copy(tmp_path)
