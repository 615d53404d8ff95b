import numpy as np
import pytest

from tsmemory.memory.config import GuardConfig
from tsmemory.memory.guard import Evidence, guard_blocks, pooled_gain

BLOCK = 4


def judge(loss, reference, times=None, *, stride=1, seed=0, training=None, **settings):
    times = np.arange(len(loss)) * stride if times is None else times
    return guard_blocks(
        loss,
        reference,
        times,
        block=BLOCK,
        stride=stride,
        config=GuardConfig(**settings),
        rng=np.random.default_rng(seed),
        training=training,
    )


@pytest.fixture
def reference():
    return np.random.default_rng(0).gamma(4, 0.25, (400, 3))


def test_it_opens_for_a_clear_gain(reference):
    passed, lines = judge(0.9 * reference, reference)
    assert passed == (True, True, True)
    assert [line["block"] for line in lines] == [0, 1, 2]
    assert lines[0]["skill"] == pytest.approx(0.1)
    assert lines[0]["p_value"] < 0.05


def test_it_stays_shut_for_harm(reference):
    passed, lines = judge(1.1 * reference, reference)
    assert passed == (False, False, False)
    assert lines[0]["skill"] == pytest.approx(-0.1)


def test_each_block_is_judged_by_itself(reference):
    passed, _ = judge(reference * np.array([0.9, 1.1, 0.9]), reference)
    assert passed == (True, False, True)


def test_it_stays_shut_for_nothing(reference):
    passed, lines = judge(reference, reference)
    assert passed == (False, False, False)
    assert all(line["p_value"] == 1 for line in lines)


def test_noise_rarely_opens_it():
    """At a nominal 5 %, with losses that are correlated as those of neighbouring origins are."""
    opened = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = np.convolve(rng.normal(size=400 + BLOCK - 1), np.ones(BLOCK) / BLOCK, "valid")
        reference = np.full((400, 1), 5.0)
        opened += judge(reference + noise[:, None], reference, seed=seed, samples=300)[0][0]
    assert opened <= 10


def test_bootstrap_blocks_are_two_horizons_long_where_validation_allows(reference):
    _, lines = judge(0.9 * reference, reference)
    assert [line["bootstrap_block"] for line in lines] == [8, 16, 24]
    _, lines = judge(0.9 * reference[:70], reference[:70])
    assert [line["bootstrap_block"] for line in lines] == [8, 8, 12]
    _, lines = judge(0.9 * reference, reference, stride=3)
    assert [line["bootstrap_block"] for line in lines] == [4, 6, 8]


def test_too_few_blocks_are_pooled(reference):
    short = reference[:30]
    passed, lines = judge(short * np.array([0.9, 0.8, 1.05]), short)
    assert [line["pooled"] for line in lines] == [False, True, True]
    assert [line["block"] for line in lines] == [0, 1, 2]
    assert [line["bootstrap_block"] for line in lines] == [4, 12, 12]
    assert lines[1]["p_value"] == lines[2]["p_value"]
    expected = 1 - (0.8 * short[:, 1] + 1.05 * short[:, 2]).sum() / short[:, 1:].sum()
    assert lines[1]["skill"] == pytest.approx(expected)
    assert passed == (True, True, True)


@pytest.mark.parametrize("origins", [0, 1])
def test_fewer_than_two_bootstrap_blocks_are_no_evidence(reference, origins):
    passed, lines = judge(0.5 * reference[:origins], reference[:origins])
    assert passed == (False, False, False)
    assert all(line["pooled"] and line["p_value"] == 1 for line in lines)


def test_unknown_losses_do_not_count(reference):
    loss = 0.9 * reference
    loss[350:, 2] = np.nan
    full = reference.copy()
    full[350:, 2] = 99.0  # known to one of the two only
    _, lines = judge(loss, full)
    assert lines[2]["skill"] == pytest.approx(0.1)


def test_windows_that_share_an_origin_are_one_observation(reference):
    twice = np.concatenate([reference, reference])
    times = np.tile(np.arange(400), 2)
    assert judge(0.9 * twice, twice, times) == judge(0.9 * reference, reference)


def test_series_out_of_phase_do_not_shorten_the_bootstrap_blocks(reference):
    """Two series at stride 3, one step apart: three origins in two steps of time, on average."""
    times = np.sort(np.concatenate([np.arange(0, 600, 3), np.arange(1, 601, 3)]))
    _, lines = judge(0.9 * reference, reference, times, stride=3)
    spans = [line["bootstrap_block"] * 1.5 for line in lines]
    assert all(span >= 2 * BLOCK * (n + 1) for n, span in enumerate(spans))


def test_a_gap_in_time_does_not_shorten_them_either(reference):
    times = np.concatenate([np.arange(200), 5000 + np.arange(200)])
    _, lines = judge(0.9 * reference, reference, times)
    assert [line["bootstrap_block"] for line in lines] == [8, 16, 24]


def test_disabled_it_lets_everything_through(reference):
    assert judge(1.1 * reference, reference, enabled=False)[0] == (True, True, True)


def test_alpha_decides(reference):
    loss = reference - 0.02 + np.random.default_rng(1).normal(0, 0.2, reference.shape)
    p = judge(loss, reference)[1][0]["p_value"]
    assert judge(loss, reference, alpha=p + 1e-6)[0][0]
    assert not judge(loss, reference, alpha=p - 1e-6)[0][0]


def pool(loss, reference, *, steps_ahead):
    return pooled_gain(
        loss,
        reference,
        np.arange(len(loss)),
        steps_ahead=steps_ahead,
        stride=1,
        config=GuardConfig(),
        rng=np.random.default_rng(0),
    )


def test_a_pooled_bootstrap_block_spans_the_farthest_step_ahead(reference):
    assert pool(0.9 * reference, reference, steps_ahead=150)["bootstrap_block"] == 150
    shut = pool(0.9 * reference, reference, steps_ahead=201)  # two such blocks do not fit into 400
    assert shut["p_value"] == 1.0
    assert shut["open"] is False


def test_pooled_gain_weighs_every_known_value_alike(reference):
    loss = 0.9 * reference
    loss[:, 1:] = np.nan
    verdict = pool(loss, reference, steps_ahead=24)
    assert verdict["skill"] == pytest.approx(0.1)
    assert verdict["bootstrap_block"] == 48  # as of a block that is not pooled
    assert verdict["open"] is True


def training_of(gain, *, windows=400, weight=1.0, blocks=3):
    """Training windows on which the candidate is better by a share."""
    reference = np.random.default_rng(7).gamma(4, 0.25, (windows, blocks))
    return Evidence(reference * (1 - gain), reference, np.arange(windows), weight)


def test_training_windows_speak_where_validation_is_too_short(reference):
    short = reference[:6]
    assert not any(judge(0.9 * short, short)[0])
    passed, lines = judge(0.9 * short, short, training=training_of(0.1))
    assert passed == (True, True, True)
    assert [line["judged_on"] for line in lines] == ["training"] * 3
    assert not any(line["pooled"] for line in lines)
    assert not any(judge(0.9 * short, short, training=training_of(-0.1))[0])


def test_training_and_validation_are_joined_by_their_blocks(reference):
    few = reference[:50]
    noisy = few * np.random.default_rng(3).normal(0.97, 0.3, few.shape)
    alone = judge(noisy, few)[1][0]["p_value"]
    assert 0.05 < alone < 0.5
    helped = judge(noisy, few, training=training_of(0.1))[1][0]
    assert helped["judged_on"] == "validation and training"
    assert helped["p_validation"] == alone
    assert helped["p_value"] < 0.05
    softly = judge(noisy, few, training=training_of(0.1, weight=0.05))[1][0]
    assert helped["p_value"] < softly["p_value"]


def test_what_is_pooled_hears_training_too(reference):
    few = reference[:50]
    noisy = few * np.random.default_rng(3).normal(0.97, 0.3, few.shape)

    def pooled(training=None, **settings):
        return pooled_gain(
            noisy,
            few,
            np.arange(50),
            steps_ahead=4,
            stride=1,
            config=GuardConfig(**settings),
            rng=np.random.default_rng(0),
            training=training,
        )

    alone = pooled()
    assert 0.05 < alone["p_value"] < 0.5
    assert not alone["open"]
    helped, hindered = pooled(training_of(0.1)), pooled(training_of(-0.1))
    assert helped["p_value"] < 0.05
    assert helped["open"]
    assert hindered["p_value"] > alone["p_value"]
    assert not hindered["open"]
    assert pooled(training_of(-0.1), enabled=False)["open"]
    for line in (helped, hindered):
        assert line["skill"] == alone["skill"]  # of validation
        assert line["p_validation"] == alone["p_value"]
        assert line["judged_on"] == "validation and training"


def test_what_validation_speaks_against_stays_shut(reference):
    noisy = reference * np.random.default_rng(3).normal(1.01, 0.2, reference.shape)
    passed, lines = judge(noisy, reference, training=training_of(0.3))
    for ok, line in zip(passed, lines, strict=True):
        assert line["p_validation"] > 0.5
        assert not ok


def test_a_silent_block_follows_an_open_one_at_a_milder_level(reference):
    """Training alone speaks of the second block, and not loudly."""
    short = reference[:6]
    evidence = training_of(0.3, windows=60)
    weak = evidence.reference * np.random.default_rng(2).normal(0.97, 0.35, (60, 3))
    loss = np.where(np.arange(3) == 1, weak, evidence.loss)
    passed, lines = judge(0.9 * short, short, training=evidence._replace(loss=loss))
    assert 0.05 < lines[1]["p_value"] <= 0.25
    assert passed == (True, True, True)
    first_shut = np.where(np.arange(3) == 0, 2 * evidence.reference, loss)
    passed, _ = judge(0.9 * short, short, training=evidence._replace(loss=first_shut))
    assert passed == (False, False, True)


def test_nothing_known_anywhere_is_no_evidence(reference):
    short, unknown = reference[:1], np.full((1, 3), np.nan)
    passed, lines = judge(
        short, short, training=Evidence(unknown, unknown, np.zeros(1, dtype=int), 1.0)
    )
    assert passed == (False, False, False)
    assert [line["judged_on"] for line in lines] == ["nothing"] * 3
