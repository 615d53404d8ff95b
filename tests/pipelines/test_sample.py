import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.pandas import ParquetDataset
from pydantic import ValidationError

from tsmemory.pipelines.sample import create_pipeline
from tsmemory.pipelines.sample.params import SampleParams


def test_pipeline_rebuilds_the_shipped_table(tmp_path, repository):
    pytest.importorskip("pvlib")
    shipped = repository / "data" / "01_raw" / "tmy_weather.parquet"
    written = []
    for name in ("a.parquet", "b.parquet"):
        path = tmp_path / name
        save_args = {"compression": "zstd", "index": False}
        catalog = DataCatalog(
            {
                "params:sample": MemoryDataset(SampleParams()),
                "tmy_weather": ParquetDataset(filepath=str(path), save_args=save_args),
            }
        )
        SequentialRunner().run(create_pipeline(), catalog)
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(shipped))
        written.append(path.read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("year", [2000, 2004, 1800])
def test_unusable_years_are_refused(year):
    with pytest.raises(ValidationError, match="year"):
        SampleParams(year=year)
