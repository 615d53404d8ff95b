"""A forecaster as an MLflow model, for registries and for ``mlflow models serve``.

The model is a folder of JSON and safetensors that this module loads: nothing is pickled. Weights of
a local backbone are copied into it, so that it can be served on another machine.

Example:
    >>> save_model(MemoryForecaster.from_pretrained("my_adapter"), "my_model")

    and then ``mlflow models serve -m my_model --env-manager local``, which answers

    ``{"dataframe_records": [{"item_id": "a", "timestamp": "2024-01-01", "sales": 3.0}, ...],
    "params": {"prediction_length": 24, "quantile_levels": [0.1, 0.5, 0.9]}}``
"""

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from tsmemory import __version__
from tsmemory.backbones import backbone_kinds
from tsmemory.integrations.extras import require
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.forecaster import QUANTILE_LEVELS, MemoryForecaster

ID_COLUMN, TIMESTAMP_COLUMN = "item_id", "timestamp"

_FORECASTER, _BACKBONE = "forecaster", "backbone"  # folders in the model


class ServedForecaster:
    """What MLflow loads and calls.

    Attributes:
        forecaster: The forecaster.
    """

    def __init__(self, forecaster: MemoryForecaster) -> None:
        self.forecaster = forecaster

    def predict(
        self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Forecast the series of a long table.

        Args:
            model_input: Columns ``item_id`` (may lack where there is a single series),
                ``timestamp`` and values.
            params: ``prediction_length``, ``quantile_levels``, ``freq`` and ``target`` (names of
                columns; all but the first two where it is empty), as ``predict_df`` takes them.

        Returns:
            The table that ``predict_df`` returns.

        Raises:
            ForecasterError: As ``predict_df``, and for a table without values.
        """
        asked = {name: value for name, value in (params or {}).items() if value is not None}
        others = [c for c in model_input.columns if c not in (ID_COLUMN, TIMESTAMP_COLUMN)]
        targets = list(asked.pop("target", ())) or others
        if not targets:
            raise ForecasterError(
                f"the table has no column of values beside {ID_COLUMN!r} and {TIMESTAMP_COLUMN!r}"
            )
        return self.forecaster.predict_df(_with_numbers(model_input), target=targets, **asked)


def save_model(
    forecaster: MemoryForecaster, path: str | Path, *, targets: Sequence[str] | None = None
) -> None:
    """Write a forecaster as an MLflow model.

    Args:
        forecaster: The forecaster.
        path: Folder to write; it must not exist.
        targets: Columns that requests may hold, MLflow dropping all others; those that the memory
            was made from if not given.

    Raises:
        MissingExtraError: MLflow is not installed.
    """
    mlflow = require("mlflow", extra="mlflow")
    with _model_data(forecaster) as folder, _without_advice():
        mlflow.pyfunc.save_model(
            str(path), data_path=str(folder), **_description(forecaster, targets)
        )


def log_model(
    forecaster: MemoryForecaster,
    name: str = "forecaster",
    *,
    targets: Sequence[str] | None = None,
    registered_model_name: str | None = None,
) -> Any:
    """Log a forecaster as a model of the active MLflow run.

    Args:
        forecaster: The forecaster.
        name: Of the model.
        targets: See :func:`save_model`.
        registered_model_name: Name in the model registry; not registered if not given.

    Returns:
        MLflow's ``ModelInfo``, whose ``model_uri`` loads and serves it.

    Raises:
        MissingExtraError: MLflow is not installed.
    """
    mlflow = require("mlflow", extra="mlflow")
    with _model_data(forecaster) as folder, _without_advice():
        return mlflow.pyfunc.log_model(
            name=name,
            data_path=str(folder),
            registered_model_name=registered_model_name,
            **_description(forecaster, targets),
        )


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> ServedForecaster:
    """Load the model; MLflow calls this function by its name.

    Args:
        path: What :func:`_model_data` made.
        model_config: ``device``, where another one than the CPU is asked for.
    """
    copied = next(Path(path, _BACKBONE).glob("*"), None)
    device = str((model_config or {}).get("device", "cpu"))
    forecaster = MemoryForecaster.from_pretrained(
        Path(path, _FORECASTER), backbone=copied, device=device
    )
    return ServedForecaster(forecaster)


@contextmanager
def _model_data(forecaster: MemoryForecaster) -> Iterator[Path]:
    """A folder that holds the forecaster, and its backbone where that is a local file or folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "memory")
        forecaster.save_pretrained(folder / _FORECASTER)
        source = Path(forecaster.backbone_source)
        if str(source) not in ("bundled", *backbone_kinds()) and source.exists():
            (folder / _BACKBONE).mkdir()
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / _BACKBONE / source.resolve().name)
        yield folder


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence the advice to give an example of a request: the signature says it all."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*An input example was not provided")
        yield


def _description(forecaster: MemoryForecaster, targets: Sequence[str] | None) -> dict[str, Any]:
    """What MLflow is told about the model."""
    known = sorted(set(forecaster.series.channel)) if targets is None else list(targets)
    return {
        "loader_module": __name__,
        "pip_requirements": [f"tsmemory=={__version__}"],
        "signature": _signature(known, forecaster.adapter.config.horizon),
        "model_config": {"device": "cpu"},
        "metadata": {
            "domain": forecaster.domain,
            "backbone": forecaster.backbone.name,
            "backbone_fingerprint": forecaster.backbone.fingerprint,
        },
    }


def _signature(targets: Sequence[str], horizon: int) -> Any:
    """Columns and parameters of a request.

    Columns are of any type: MLflow would refuse whole numbers and time zones, which ``predict_df``
    reads.
    """
    schema = require("mlflow.types.schema", extra="mlflow")
    needed = {ID_COLUMN: False, TIMESTAMP_COLUMN: True}
    needed |= dict.fromkeys(targets, len(targets) == 1)
    columns = [schema.ColSpec(schema.AnyType(), n, required=r) for n, r in needed.items()]
    params = [
        schema.ParamSpec("prediction_length", "long", horizon),
        schema.ParamSpec("quantile_levels", "double", list(QUANTILE_LEVELS), (-1,)),
        schema.ParamSpec("target", "string", [], (-1,)),
        schema.ParamSpec("freq", "string", None),
    ]
    return require("mlflow.models", extra="mlflow").ModelSignature(
        inputs=schema.Schema(columns), params=schema.ParamSchema(params)
    )


def _with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of nothing but ``null``, as JSON brings them, as missing numbers."""
    empty = [name for name in table.columns if table[name].isna().all()]
    return table.astype(dict.fromkeys(empty, "float64")) if empty else table
