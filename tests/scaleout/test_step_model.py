import pytest

from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.step_model import hierarchical_steps, plain_steps, step_table


def test_the_published_figures():
    assert (plain_steps(1024), hierarchical_steps(1024, 16)) == (2046, 186)


@pytest.mark.parametrize("ranks", [1, 4, 64])
def test_groups_of_one_are_a_ring(ranks):
    assert hierarchical_steps(ranks, 1) == plain_steps(ranks)


def test_groups_have_to_come_out_even():
    with pytest.raises(ScaleoutError, match="6 ranks do not fall into groups of 4"):
        hierarchical_steps(6, 4)


def test_the_table_leaves_out_what_does_not_come_out_even():
    table = step_table(ranks=(6, 8), groups=(2, 4))
    assert table[["ranks", "group"]].to_numpy().tolist() == [[6, 2], [8, 2], [8, 4]]
    assert (table["plain"] == 2 * (table["ranks"] - 1)).all()
