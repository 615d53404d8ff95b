"""Unknown and impossible parameters are refused by their path."""

from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator

from tsmemory.runs.errors import ParameterError
from tsmemory.runs.parameters import ParameterValues, check_parameters, parameter_types


class Search(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    probes: PositiveInt = 8


class Teacher(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    k: PositiveInt = 20
    metric: str = "l2"
    search: Search = Search()

    @model_validator(mode="after")
    def _few(self) -> "Teacher":
        if self.k > 1000:
            raise ValueError("k must not exceed 1000 neighbours")
        return self


def teach(raw: Any, teacher: Teacher, seed: int) -> Any:
    return raw


PIPELINES = {"teaching": Pipeline([Node(teach, ["raw", "params:teacher", "params:seed"], "out")])}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name in ("base", "local", "fast"):
        (tmp_path / name).mkdir()
    (tmp_path / "base/parameters.yml").write_text("seed: 0\nlimit: ${runtime_params:limit, 5}\n")
    (tmp_path / "base/parameters_teacher.yml").write_text(
        "teacher: {k: 20, metric: l2, search: {probes: 8}}\n"
    )
    (tmp_path / "base/globals.yml").write_text("domain: null\n")
    (tmp_path / "fast/parameters.yml").write_text("teacher: {search: {probes: 2}}\nquick: true\n")
    return tmp_path


def _loader(conf: Path, env: str = "local", **runtime: Any) -> OmegaConfigLoader:
    from tsmemory.settings import CONFIG_LOADER_ARGS

    return OmegaConfigLoader(str(conf), env=env, runtime_params=runtime, **CONFIG_LOADER_ARGS)


def _message(conf: Path, env: str = "local", **runtime: Any) -> str:
    with pytest.raises(ParameterError) as error:
        check_parameters(_loader(conf, env, **runtime), PIPELINES)
    return error.value.message


def test_valid_parameters_pass(conf):
    check_parameters(_loader(conf), PIPELINES)
    check_parameters(_loader(conf, teacher={"k": 5}, domain="mine", seed=3, limit=2), PIPELINES)
    check_parameters(_loader(conf, env="fast", quick=False), PIPELINES)


def test_nested_runtime_parameters_merge_into_the_environment(conf):
    loader = _loader(conf, env="fast", teacher={"k": 5})
    assert loader["parameters"]["teacher"] == {"k": 5, "metric": "l2", "search": {"probes": 2}}


def test_an_unknown_name_is_refused_with_the_closest(conf):
    message = _message(conf, teacherr={"k": 5})
    assert "teacherr: unknown parameter; did you mean teacher?" in message


def test_an_unknown_name_without_a_close_one_lists_all(conf):
    message = _message(conf, zzz=1)
    assert "zzz: unknown parameter; known: domain, limit, seed, teacher" in message


def test_an_environment_name_is_unknown_elsewhere(conf):
    assert "quick: unknown parameter" in _message(conf, quick=True)


def test_an_impossible_value_is_refused_with_its_path(conf):
    message = _message(conf, teacher={"k": -1})
    assert "teacher.k = -1: Input should be greater than 0" in message
    assert "http" not in message


def test_an_unknown_field_is_refused_with_its_path(conf):
    assert "teacher.kk: unknown parameter; did you mean teacher.k?" in _message(
        conf, teacher={"kk": 3}
    )
    assert "teacher.search.probs: unknown parameter; did you mean teacher.search.probes?" in (
        _message(conf, teacher={"search": {"probs": 3}})
    )


def test_all_problems_are_named_at_once(conf):
    message = _message(conf, teacher={"k": "many", "search": {"probes": 0}})
    assert "teacher.k = 'many': Input should be a valid integer" in message
    assert "teacher.search.probes = 0: Input should be greater than 0" in message


def test_a_rule_between_fields_is_told_in_its_own_words(conf):
    assert "teacher: k must not exceed 1000 neighbours" in _message(conf, teacher={"k": 5000})


def test_a_value_in_the_place_of_a_group_is_refused(conf):
    assert "teacher = 'x': Input should be a valid dictionary" in _message(conf, teacher="x")


def _values(**parameters: Any) -> ParameterValues:
    catalog = DataCatalog()
    catalog["parameters"] = parameters
    for name, value in parameters.items():
        catalog[f"params:{name}"] = value
    return ParameterValues(catalog, parameter_types(PIPELINES))


def test_a_model_and_its_mapping_have_one_normal_form():
    full = {"k": 5, "metric": "l2", "search": {"probes": 8}}
    for teacher in (Teacher(k=5), {"k": 5}, {"k": "5"}, full):
        values = _values(teacher=teacher, seed=1)
        assert values.value("params:teacher") == full
        assert values.value("params:teacher.search.probes") == 8
        assert values.value("parameters") == {"teacher": full, "seed": 1}


def test_flat_values_have_dotted_paths():
    assert _values(teacher=Teacher(k=5)).flat("params:teacher") == {
        "teacher.k": 5,
        "teacher.metric": "l2",
        "teacher.search.probes": 8,
    }
    assert _values(seed=1).flat("params:seed") == {"seed": 1}
