"""A supernet: LoRA on every site, trained under random masks, so that any mask can be looked at.

Each row of a batch has a mask of its own, and masks of every size are alike frequent (METHOD 2.5:
gate dropout). What a site has learnt then works beside whichever others are open, and a trial of
a mask needs forward passes only.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tsmemory.progress import track
from tsmemory.trace.adapters import Group, LoraAdapter
from tsmemory.trace.bench import Bench
from tsmemory.trace.config import FineTuningConfig, MaskConfig
from tsmemory.trace.errors import TraceError
from tsmemory.trace.examples import Examples
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.masks import draw_masks
from tsmemory.trace.model import TraceModel, build_model
from tsmemory.trace.sites import lora_sites
from tsmemory.tuning.masks.config import MaskStudyConfig
from tsmemory.tuning.masks.early import early_bench

Arrays = dict[str, npt.NDArray[np.float32]]

_HEAD, _LORA = "head.", "lora."
_EVERY_SIZE = MaskConfig(kind="bernoulli", closed_share="uniform")
_RISE = 0.1  # share of the steps over which rates rise
logger = logging.getLogger(__name__)


def study_bench(bench: Bench, config: MaskStudyConfig) -> Bench:
    """The bench of the masks study: the rates of the study, on :func:`early_bench`.

    Args:
        bench: What TRACE is made on.
        config: Sizes and rates of the study.

    Returns:
        Another bench on the same backbone and training windows.
    """
    early = early_bench(bench, config)
    settings = early.config
    early.config = replace(
        settings,
        training=replace(
            settings.training,
            steps=max(2, config.retrain_steps),
            lora_rate=config.lora_rate,
            gate_rate=config.gate_rate,
        ),
        # One round ranks the sites; nothing is closed while a mask trains.
        selection=replace(settings.selection, rounds=1, warmup_steps=1, redistribute=False),
    )
    return early


def train_supernet(bench: Bench, config: MaskStudyConfig, rng: np.random.Generator) -> TraceModel:
    """Train LoRA on every site, and the head, under random masks.

    Nothing stops early and nothing is undone: whether LoRA helps at all is for the trials to tell,
    of which one has every site closed.

    Args:
        bench: Where the head has its closed-form start; of :func:`study_bench`.
        config: Steps and batches.
        rng: Draws matrices, windows and masks.

    Returns:
        The model in inference mode, all sites open.
    """
    head, training = bench.config.head, bench.config.training
    with torch.random.fork_rng(devices=[]):  # new layers draw weights, which are replaced
        model = bench.model(head)
    lora = model.lora = _attached(model, bench, seed=int(rng.integers(2**31)))
    train = bench.examples(bench.windows.train, head).fit_to(model)
    size = min(config.batch_size, len(train))
    optimizer, schedule = _optimizer(model, training, config.steps)
    losses = []
    for _ in track(range(config.steps), "Supernet of LoRA masks"):
        which = np.sort(rng.choice(len(train), size, replace=False))
        masks = torch.from_numpy(draw_masks(_EVERY_SIZE, size, len(lora.sites), rng))
        with lora.masked(masks.to(model.device)):
            losses.append(_learn(model, train.take(which), optimizer, training.gradient_clip))
        schedule.step()
    quarter = max(1, len(losses) // 4)
    logger.info(
        "Supernet: training loss %.4f in the first quarter of %d steps, %.4f in the last",
        np.mean(losses[:quarter]),
        config.steps,
        np.mean(losses[-quarter:]),
    )
    return model.requires_grad_(False)


def supernet_state(model: TraceModel) -> Arrays:
    """Head and LoRA of a supernet as plain arrays, to be kept on disk."""
    if model.lora is None:
        raise TraceError("a model without LoRA is no supernet")
    parts = {_HEAD: model.head.state_dict(), _LORA: model.lora.state_dict()}
    return {
        prefix + name: tensor.detach().float().cpu().numpy()
        for prefix, state in parts.items()
        for name, tensor in state.items()
    }


def restore_supernet(bench: Bench, state: Mapping[str, npt.NDArray[np.float32]]) -> TraceModel:
    """Build a supernet from what :func:`supernet_state` gave, without solving or training.

    Args:
        bench: The bench that it was trained on, or one of the same settings.
        state: The arrays.

    Returns:
        The model in inference mode, all sites open.

    Raises:
        TraceError: Arrays of another model.
    """
    with torch.random.fork_rng(devices=[]):  # new layers draw weights, which are replaced
        model = build_model(
            bench.base,
            bench.config.head,
            context_length=bench.windows.train.context_length,
            horizon=bench.horizons[-1],
            levels=bench.levels,
        )
    head, lora = (_part(state, prefix) for prefix in (_HEAD, _LORA))
    try:
        model.head.load_state_dict(head)
    except RuntimeError as error:
        raise TraceError(f"the saved supernet is of another head: {error}") from error
    model.lora = _attached(model, bench, seed=0)
    model.lora.load_state_dict(lora)
    return model.eval().requires_grad_(False)


def _attached(model: TraceModel, bench: Bench, *, seed: int) -> GatedLora:
    """LoRA on every site of a model's encoder; the head stays as trainable as it was."""
    net, lora = model.encoder.model, bench.config.lora
    return GatedLora.attach(net, lora_sites(net), rank=lora.rank, alpha=lora.alpha_ratio, seed=seed)


def _optimizer(
    model: TraceModel, training: FineTuningConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """AdamW over head, matrices and gates, each at its rate; rates rise, then fall to nothing."""
    assert model.lora is not None
    head = [weight for weight in model.head.parameters() if weight.requires_grad]
    groups: list[Group] = [{"params": head, "rate": training.head_rate, "decay": 0.0}]
    groups += LoraAdapter(model.lora).groups(training)
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(
        [{"params": group["params"], "weight_decay": group["decay"]} for group in groups]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["rate"] for group in groups],
        total_steps=steps + 1,
        pct_start=_RISE,
        cycle_momentum=False,
    )
    return optimizer, schedule


def _learn(
    model: TraceModel, batch: Examples, optimizer: torch.optim.Optimizer, clip: float
) -> float:
    """One step; the mean loss of its windows before it."""
    losses, known = batch.losses(model)
    loss = losses.sum() / known.sum().clamp_min(1e-12)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, clip)
    optimizer.step()
    return float(loss.detach())


def _part(state: Mapping[str, npt.NDArray[np.float32]], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in state.items()
        if name.startswith(prefix)
    }
