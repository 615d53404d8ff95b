import pytest

from tsmemory.memory.config import TrainingConfig as MemoryTraining
from tsmemory.pretraining.config import TrainingConfig as PretrainingTraining
from tsmemory.runs.parameters import essence
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
    assert config.bucket_cap_mb is None  # 25, said aloud, is another first bucket


def test_patience_changes_no_result():
    patient = CommunicationConfig(timeout_minutes=600.0)
    assert essence(patient) == essence(CommunicationConfig())
    assert essence(CommunicationConfig(compression="fp16")) != essence(CommunicationConfig())


@pytest.mark.parametrize("make", [MemoryTraining, PretrainingTraining])
def test_trainings_refuse_what_cannot_be_exchanged(make):
    low_rank = CommunicationConfig(compression="powersgd")
    with pytest.raises(ValueError, match="use precision bfloat16 or float32"):
        make(communication=low_rank, precision="float16")
    assert make(communication=low_rank, precision="bfloat16").communication is low_rank
    for changes in ({"reduce": "hybrid"}, {"average_every": 2}):
        threes = CommunicationConfig(group_size=3, **changes)
        with pytest.raises(ValueError, match="4 devices do not fall into groups of 3"):
            make(communication=threes, devices=4)
        for devices in (1, 6):  # 1: a launcher counts the ranks
            assert make(communication=threes, devices=devices).devices == devices
    assert make(communication=CommunicationConfig(group_size=3), devices=4).devices == 4
