from dataclasses import replace
from itertools import islice, pairwise

import pytest
import torch

from tsmemory.pretraining import corpus as module
from tsmemory.pretraining.corpus import (
    Batch,
    CorpusConfig,
    chunk_seed,
    draw_series,
    draw_windows,
    stream_batches,
)
from tsmemory.pretraining.draws import Draws

H = 24
CONFIG = CorpusConfig(contexts={128: 0.25, 64: 0.75}, horizon=H, chunk=64)


def same(one, other):
    return all(
        torch.equal(a.nan_to_num(99), b.nan_to_num(99)) for a, b in zip(one, other, strict=True)
    )


def batches(n, *, first=0, seed=0, batch=16, config=CONFIG):
    return list(islice(stream_batches(config, seed, batch, first=first), n))


def test_windows_are_in_units_of_their_context():
    windows = draw_windows(CONFIG, Draws(0), 256, 128)
    assert windows.contexts.shape == (len(windows.targets), 128)
    assert windows.targets.shape[1] == H
    assert 240 < len(windows.contexts) <= 256
    mean = windows.contexts.nanmean(dim=1)
    square = windows.contexts.square().nanmean(dim=1)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-3, rtol=0)
    torch.testing.assert_close(square, torch.ones_like(square), atol=1e-2, rtol=0)
    assert windows.targets.nan_to_num(0).abs().max() <= 20
    assert windows.contexts.isnan().any()
    assert windows.targets.isnan().any()


def test_targets_go_on_where_contexts_end():
    """Without anything missing, a window is one series."""
    config = replace(CONFIG, incomplete=0.0, shortened=0.0)
    windows = draw_windows(config, Draws(3), 128, 128)
    jump = (windows.targets[:, 0] - windows.contexts[:, -1]).abs()
    usual = windows.contexts.diff(dim=1).abs().mean(dim=1)
    assert (jump < 8 * usual + 0.1).float().mean() > 0.95


def test_families_come_by_their_shares(monkeypatch):
    asked = {}

    def remember(name):
        def make(draws, n, length):
            asked[name] = n
            return draws.normal(n, length)

        return make

    families = {name: remember(name) for name in CONFIG.families}
    monkeypatch.setattr(module, "FAMILIES", families)
    draw_series(CONFIG, Draws(0), 1000, 50)
    assert sum(asked.values()) == 1000
    for name, share in CONFIG.families.items():
        assert asked[name] == pytest.approx(1000 * share, abs=len(families))
    asked.clear()
    draw_series(replace(CONFIG, families={"counts": 1.0}), Draws(0), 10, 50)
    assert asked == {"counts": 10}


def test_a_seed_gives_one_stream():
    assert all(map(same, batches(6), batches(6)))
    assert not same(batches(1)[0], batches(1, seed=1)[0])


def test_chunks_differ():
    config = replace(CONFIG, contexts={64: 1.0})
    first = [batches(1, first=4 * chunk, config=config)[0] for chunk in range(4)]
    assert not any(same(one, other) for one, other in pairwise(first))


@pytest.mark.parametrize("k", [0, 1, 3, 4, 7, 9])
def test_the_stream_can_be_taken_up_at_any_batch(k):
    assert all(map(same, batches(12)[k:], batches(12 - k, first=k)))


def test_constant_contexts_are_left_out_and_shorten_the_last_batch():
    for number, batch in enumerate(batches(40)):
        spread = batch.contexts.nan_to_num(0).square().sum(dim=1)
        assert (spread > 0).all()
        if number % 4 < 3:
            assert len(batch.contexts) == 16


@pytest.mark.parametrize("left", [60, 33, 16, 15, 1])
def test_batches_keep_their_numbers_however_many_contexts_are_constant(left, monkeypatch):
    draw = draw_windows

    def constant(config, draws, n, length):
        windows = draw(config, draws, n, length)
        return Batch(windows.contexts[:left], windows.targets[:left])

    monkeypatch.setattr(module, "draw_windows", constant)
    stream = batches(12)
    assert all(0 < len(batch.contexts) <= 16 for batch in stream)
    for k in range(12):
        assert same(stream[k], batches(1, first=k)[0])


def test_chunks_without_any_usable_context_are_drawn_again(monkeypatch):
    draw, calls = draw_windows, []

    def sometimes(config, draws, n, length):
        windows = draw(config, draws, n, length)
        calls.append(len(windows.contexts))
        kept = slice(0, 0 if len(calls) % 2 else None)
        return Batch(windows.contexts[kept], windows.targets[kept])

    monkeypatch.setattr(module, "draw_windows", sometimes)
    assert len(batches(1)[0].contexts) == 16
    assert len(calls) == 2


def test_context_lengths_come_by_their_shares():
    config = replace(CONFIG, chunk=16)
    lengths = [batch.contexts.shape[1] for batch in batches(300, config=config)]
    assert set(lengths) == {64, 128}
    assert lengths.count(128) / 300 == pytest.approx(0.25, abs=0.08)


def test_a_part_of_the_contexts_begins_later():
    config = replace(CONFIG, incomplete=0.0, shortened=0.5)
    contexts = draw_windows(config, Draws(1), 512, 128).contexts
    known = ~contexts.isnan()
    begin = known.int().argmax(dim=1)
    assert (known.sum(dim=1) == 128 - begin).all()  # nothing is missing after the beginning
    assert (begin > 0).float().mean() == pytest.approx(0.5, abs=0.07)
    assert begin.max() <= 128 - 15
    assert begin.max() > 64


def test_seeds_of_chunks_are_far_apart():
    seeds = {chunk_seed(seed, chunk) for seed in range(20) for chunk in range(500)}
    assert len(seeds) == 20 * 500
    assert all(0 <= seed < 1 << 63 for seed in seeds)
