import pytest

from tsmemory.pipeline_registry import register_pipelines
from tsmemory.pipelines.short_term import create_pipeline
from tsmemory.pipelines.short_term.params import ShortTermParams


def test_wiring():
    assert {node.short_name: node.outputs for node in create_pipeline().nodes} == {
        "score_short_term": ["short_term_errors"],
        "tabulate_short_term": ["short_term"],
    }


def test_short_series_need_no_training_part():
    """Nothing is split or scaled, which would refuse series that are no longer than a window."""
    names = {node.short_name for node in register_pipelines()["short_term"].nodes}
    assert names == {"read_panel", "score_short_term", "tabulate_short_term"}


def test_defaults_are_those_of_the_model(defaults):
    assert ShortTermParams(**defaults["short_term"]) == ShortTermParams()


def test_backbones_count_by_what_they_are(tmp_path):
    for name, text in (("one", "x"), ("same", "x"), ("other", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)

    def found(name):
        return ShortTermParams(backbones=(str(tmp_path / name),)).content_fingerprint()

    assert found("one") == found("same") != found("other")
    assert ShortTermParams(backbones=("bundled",)).content_fingerprint() is not None
    assert ShortTermParams(backbones=("nobody/nowhere",)).content_fingerprint() is None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"horizon": 0}, "short_term.horizon = 0: "),
        ({"held_back": -1}, "short_term.held_back = -1: "),
        ({"backbones": ["a", "a"]}, "a backbone is named twice"),
        ({"backbone": "a"}, "did you mean short_term.backbones?"),
    ],
)
def test_nonsense_is_refused_once(refusal, params, said):
    assert refusal(short_term=params).count(said) == 1
