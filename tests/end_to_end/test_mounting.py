"""Another Kedro project mounts the pipelines under a namespace, with a catalog of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.pipeline import Pipeline
from projects import nested, tiny

from tsmemory.pipeline_registry import register_pipelines

FILES = {
    "pyproject.toml": """
        [tool.kedro]
        package_name = "shop"
        project_name = "shop"
        kedro_init_version = "1.7.0"
        source_dir = "src"
    """,
    "src/shop/__init__.py": "",
    "src/shop/settings.py": "",
    "src/shop/reports.py": """
        def highest(forecasts):
            table = forecasts.read("next")
            return {"highest": float(table["predictions"].max()), "rows": len(table)}
    """,
    "src/shop/pipeline_registry.py": """
        from kedro.pipeline import Node, Pipeline
        from shop.reports import highest
        from tsmemory.pipelines import distillation, forecasting, indexing
        from tsmemory.pipelines import ingestion, teacher, windowing

        def register_pipelines():
            parts = (ingestion, windowing, indexing, teacher, distillation)
            memory = Pipeline(
                sum((part.create_pipeline() for part in parts), Pipeline([])),
                namespace="demand",
                inputs={"raw_table": "sales"},
            )
            forecasts = Pipeline(
                forecasting.create_pipeline(),
                namespace="demand",
                inputs={"new_tables": "recent_sales", "saved_forecaster": "demand.forecaster"},
                outputs={"forecasts": "sales_forecasts"},
            )
            ours = Pipeline([Node(highest, "sales_forecasts", "peak", name="highest")])
            return {"__default__": memory + forecasts + ours}
    """,
    "conf/base/catalog.yml": """
        sales: {type: tsmemory.io.RawTableDataset, filepath: data/sales.csv}
        recent_sales: {type: tsmemory.io.TablesDataset, filepath: data/next.csv}
        sales_forecasts: {type: tsmemory.io.ForecastsDataset, filepath: data/forecasts}
        peak: {type: json.JSONDataset, filepath: data/peak.json}
        demand.forecaster:
          type: tsmemory.io.FolderDataset
          filepath: data/forecaster
          kind: tsmemory.memory.forecaster.MemoryForecaster
        demand.backbone_answers: {type: tsmemory.io.ContentCacheDataset, filepath: data/answers}
        "demand.{name}_workspace":
          type: tsmemory.io.ShardCacheDataset
          filepath: data/{name}_workspace
        "demand.{name}": {type: MemoryDataset, copy_mode: assign}
    """,
}
HORIZONS = (8, 16)


@pytest.fixture
def shop(tmp_path: Path, repository: Path) -> Path:
    """A project that knows tsmemory as a library alone."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip())
    (tmp_path / "conf/local").mkdir()
    own = {
        "ingestion.path": "sales.csv",
        "domain": "sales",
        "seed": 0,
        "backbone": {},
        "indexing": {},
        "shards": {},
        "forecasting": {"quantile_levels": [0.1, 0.5, 0.9]},
        "distillation.seeds": [0],
    }
    parameters = {"demand": nested({**tiny(repository), **own})}
    (tmp_path / "conf/base/parameters.yml").write_text(yaml.safe_dump(parameters))
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=1500, freq="h")
    wave = 50 + 10 * np.sin(2 * np.pi * np.arange(1500) / 24) + rng.normal(0, 1, 1500)
    table = pd.DataFrame({"date": stamps, "units": wave.round(2)})
    (tmp_path / "data").mkdir()
    table.to_csv(tmp_path / "data/sales.csv", index=False)
    table.tail(100).to_csv(tmp_path / "data/next.csv", index=False)
    return tmp_path


def test_another_project_runs_them_with_its_own_catalog(shop):
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run"],
        cwd=shop,
        env=os.environ | {"KEDRO_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_parquet(shop / "data/forecasts")
    assert list(table) == [
        "item_id",
        "timestamp",
        "target_name",
        "predictions",
        "0.1",
        "0.5",
        "0.9",
    ]
    assert len(table) == HORIZONS[-1]
    assert set(table["item_id"]) == {"sales"}  # the only series that the memory knows
    assert table["timestamp"].iloc[0] == pd.Timestamp("2024-03-03 12:00")
    assert (table["0.1"] <= table["0.9"]).all()
    peak = json.loads((shop / "data/peak.json").read_text())
    assert peak == {"highest": pytest.approx(table["predictions"].max()), "rows": HORIZONS[-1]}
    places = {place.name for place in (shop / "data").iterdir()}
    assert places - {"indexing_workspace", "teacher_workspace", "forecasting_workspace"} == {
        *("sales.csv", "next.csv", "forecasts", "peak.json", "forecaster", "answers"),
    }


@pytest.mark.parametrize("name", sorted(register_pipelines()))
def test_every_pipeline_can_be_mounted(name):
    part = register_pipelines()[name]
    mounted = Pipeline(part, namespace="theirs")
    assert len(mounted.nodes) == len(part.nodes)
    assert all(node.name.startswith("theirs.") for node in mounted.nodes)
    homes = {dataset.removeprefix("params:").split(".")[0] for dataset in mounted.datasets()}
    assert homes == {"theirs"}
