"""The project's configuration, as runs read it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from tsmemory.pipeline_registry import register_pipelines
from tsmemory.runs.errors import ParameterError
from tsmemory.runs.parameters import check_parameters
from tsmemory.settings import CONFIG_LOADER_ARGS

Configure = Callable[..., OmegaConfigLoader]


@pytest.fixture
def configure(repository: Path) -> Configure:
    """Load the configuration of an environment, with runtime parameters."""

    def load(env: str = "base", **params: Any) -> OmegaConfigLoader:
        return OmegaConfigLoader(
            str(repository / "conf"), env=env, runtime_params=params, **CONFIG_LOADER_ARGS
        )

    return load


@pytest.fixture
def defaults(configure: Configure) -> dict[str, Any]:
    """Parameters as ``conf/base`` has them."""
    parameters: dict[str, Any] = configure()["parameters"]
    return parameters


@pytest.fixture
def refusal(configure: Configure) -> Callable[..., str]:
    """The message with which parameters are refused before a run."""

    def refuse(**params: Any) -> str:
        with pytest.raises(ParameterError) as error:
            check_parameters(configure(**params), register_pipelines())
        return error.value.message

    return refuse
