"""The two profiles: the default one, and the published one that it is measured against."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.config import AdapterSizes, PaperSizes, Profile, TrainingConfig
from tsmemory.memory.paper_adapter import PaperAdapter, PaperConfig

Adapter = MemoryAdapter | PaperAdapter
AnyConfig = AdapterConfig | PaperConfig

PUBLISHED_EPOCHS = 20


def configure_adapter(
    profile: Profile,
    sizes: AdapterSizes,
    paper_sizes: PaperSizes,
    *,
    context_length: int,
    horizon: int,
    quantile_levels: tuple[float, ...],
    key_length: int,
    block: int,
) -> AnyConfig:
    """Sizes of the profile's adapter for given data and backbone.

    Args:
        profile: Which adapter.
        sizes: What the user chose for the default profile.
        paper_sizes: What the user chose for the paper profile.
        context_length: L.
        horizon: The longest horizon.
        quantile_levels: Levels of the backbone.
        key_length: Length of the backbone's embedding; the paper profile does not read it.
        block: Steps in a horizon block; the paper profile has none.

    Returns:
        The adapter's configuration.
    """
    if profile == "paper":
        return PaperConfig(context_length, horizon, quantile_levels, **vars(paper_sizes))
    return AdapterConfig(context_length, horizon, quantile_levels, key_length, block, **vars(sizes))


def build_adapter(config: AnyConfig) -> Adapter:
    """An adapter of these sizes, as it stands before any training."""
    return PaperAdapter(config) if isinstance(config, PaperConfig) else MemoryAdapter(config)


def config_to_json(config: AnyConfig) -> dict[str, Any]:
    """Plain values that name their profile; :func:`config_from_json` reads them."""
    return {"profile": config.profile, **asdict(config)}


def config_from_json(value: Mapping[str, Any]) -> AnyConfig:
    """Read what :func:`config_to_json` wrote; without a profile it is the default one.

    Raises:
        KeyError: An unknown profile.
        TypeError: Sizes of another profile.
    """
    sizes = {**value, "quantile_levels": tuple(value["quantile_levels"])}
    kinds = {"default": AdapterConfig, "paper": PaperConfig}
    config: AnyConfig = kinds[sizes.pop("profile", "default")](**sizes)
    return config


def label_run(
    profile: Profile, paper_sizes: PaperSizes, training: TrainingConfig, *, train_stride: int
) -> str:
    """What tables and reports call an adapter, with what was saved on the published settings.

    Args:
        profile: Which adapter.
        paper_sizes: Sizes in the paper profile.
        training: Schedule.
        train_stride: Steps between training windows; the published stride is 1.

    Returns:
        ``default``, ``paper``, or ``paper, reduced: ...``.
    """
    if profile == "default":
        return "default"
    savings = []
    if paper_sizes != PaperSizes():
        savings.append("other sizes")
    if training.epochs < PUBLISHED_EPOCHS:
        savings.append(f"at most {training.epochs} of {PUBLISHED_EPOCHS} epochs")
    if train_stride > 1:
        savings.append(f"training stride {train_stride}")
    return f"paper, reduced: {', '.join(savings)}" if savings else "paper"
