import pytest

from tsmemory.scaleout.config import CommunicationConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bucket_cap_mb": 0}, "bucket_cap_mb must be above 0"),
        ({"timeout_minutes": -1.0}, "timeout_minutes must be above 0"),
        ({"powersgd_start": 1}, "powersgd_start must be at least 2"),
        ({"average_every": 0}, "average_every must be at least 1"),
        ({"group_size": 0}, "group_size must be at least 1"),
        ({"reduce": "hybrid", "compression": "powersgd"}, "an all-reduce of its own"),
        ({"reduce": "hierarchical", "average_every": 4}, "leave reduce at plain"),
        ({"compression": "fp16", "average_every": 4}, "leave reduce at plain"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CommunicationConfig(**changes)


def test_the_defaults_are_plain_ddp():
    config = CommunicationConfig()
    assert (config.reduce, config.compression, config.average_every) == ("plain", "none", 1)
