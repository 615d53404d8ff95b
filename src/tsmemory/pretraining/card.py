"""The model card that ships beside pretrained weights."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from tsmemory.pretraining import augment
from tsmemory.pretraining.config import Dtype
from tsmemory.pretraining.curve import held_out_loss
from tsmemory.pretraining.display import duration
from tsmemory.pretraining.families import FAMILIES
from tsmemory.pretraining.model import LEVELS
from tsmemory.pretraining.pretrained import LICENCE, TrainingRecord
from tsmemory.scaleout.large_batch import scaled_rate

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_POINTS = 10  # of the loss curve
# Shares of the corpus and the functions whose first line says what they stand for.
_AUGMENTATIONS = {
    "mixed": augment.mix,
    "bent": augment.bend_values,
    "slowed": augment.follow_slowly,
    "warped": augment.warp_time,
    "censored": augment.censor,
    "disturbed": augment.disturb,
    "incomplete": augment.lose,
}
_METHODS = {"pretrained": "this model", "seasonal_naive": "seasonal naive"}


def write_card(
    record: TrainingRecord, name: str, dtype: Dtype, curve: pd.DataFrame, scores: pd.DataFrame
) -> str:
    """Write the card.

    Args:
        record: How the network came about.
        name: What it is called.
        dtype: In which its weights are stored.
        curve: The loss curve.
        scores: Table ``check, windows, context_length, horizon, method, mse, mae, mase, wql``.

    Returns:
        Markdown.
    """
    recipe = record.recipe
    parts = (
        f"# {name}\n",
        _opening(record),
        "## Architecture\n",
        _architecture(record, dtype),
        "## Training data\n",
        _corpus(recipe["corpus"]),
        "## Training\n",
        _training(record),
        _curve(curve),
        "## Results, zero-shot\n",
        _results(scores),
        "## Limits\n",
        _limits(recipe["model"]),
        "## Licence\n",
        f"{LICENCE}.\n",
    )
    return "\n".join(parts)


def _opening(record: TrainingRecord) -> str:
    return (
        "A small forecaster in the format of Chronos-Bolt (Ansari et al., 2024), with "
        f"{record.parameters:,} parameters, trained from random weights on synthetic series "
        "alone.\n\n"
        "**No benchmark data, nor anything derived from such data, was used to train it**: no real "
        "series at all. Forecasts of any real data are therefore zero-shot. Validation splits of "
        "the data named under Results served to watch the run and to choose between recipes, and "
        "for nothing else; no test split was read for either.\n"
    )


def _architecture(record: TrainingRecord, dtype: Dtype) -> str:
    model = record.recipe["model"]
    megabytes = record.parameters * _BYTES[dtype] / 1e6
    lines = {
        "form": "T5 encoder and decoder on patches; the decoder makes one token, which gives all "
        "steps and levels at once",
        "parameters": f"{record.parameters:,}",
        "context": f"up to {model['context_length']:,} steps, in patches of "
        f"{model['patch_length']}, with a REG token",
        "native horizon": f"{model['horizon']:,} steps",
        "quantile levels": ", ".join(f"{level:g}" for level in LEVELS),
        "width": f"{model['width']}, {model['heads']} heads, feed-forward {model['hidden']}",
        "layers": f"{model['encoder_layers']} encoder, {model['decoder_layers']} decoder",
        "stored as": f"{dtype}, {megabytes:.1f} MB; computes in float32",
    }
    return _table(("", ""), list(lines.items()))


def _corpus(corpus: dict[str, Any]) -> str:
    total = sum(share for _, share in corpus["families"])
    families = [
        (f"`{family}`", f"{share / total:.0%}", _first_line(FAMILIES[family]))
        for family, share in corpus["families"]
    ]
    changes = [
        (f"`{name}`", f"{corpus[name]:.0%}", _first_line(function))
        for name, function in _AUGMENTATIONS.items()
    ]
    changes.append(
        (
            "`shortened`",
            f"{corpus['shortened']:.0%}",
            "The context begins later; what came before is missing.",
        )
    )
    whole = sum(share for _, share in corpus["contexts"])
    lengths = ", ".join(
        f"{length} ({share / whole:.0%})" for length, share in sorted(corpus["contexts"])
    )
    return (
        "A stream of synthetic windows without end, which a seed determines.\n\n"
        + _table(("family", "share", "what it is"), families)
        + "\nWhat happens to the series, with the share of them that it happens to:\n\n"
        + _table(("augmentation", "share", "what it does"), changes)
        + f"\nContext lengths: {lengths}. Targets have {corpus['horizon']} steps.\n"
    )


def _training(record: TrainingRecord) -> str:
    optimizer, training = record.recipe["optimizer"], record.recipe["training"]
    kinds = {
        "muon": "Muon for the blocks' matrices, AdamW for the rest",
        "adamw": "AdamW",
        "lars": "LARS for matrices, AdamW for the rest",
        "lamb": "LAMB for matrices, AdamW for the rest",
    }
    rate = scaled_rate(optimizer["learning_rate"], training["batch"], optimizer.get("base_batch"))
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    lines = {
        "loss": "pinball over all levels in units of the context's standard deviation; steps `h` "
        f"ahead weigh `h^-{training['step_decay']:g}`, windows one over the spread that the model "
        f"itself expects plus {training['floor']:g}",
        "optimizer": f"{kinds[optimizer['kind']]}; weight decay {optimizer['weight_decay']:g}, "
        f"gradients clipped at {optimizer['gradient_clip']:g}",
        "learning rate": f"{rate:g} after {optimizer['warmup']:,} steps of "
        f"warm-up, falling to 0 over the last {optimizer['decay']:.0%}",
        "weights kept": f"exponential moving average, decay {optimizer['average']:g}",
        "steps": f"{record.steps:,} of {training['batch']:,} windows",
        "samples": f"{record.samples:,} windows",
        "seed": f"{training['seed']} (initial weights and corpus)",
        "precision": training["precision"],
        "hardware": record.hardware,
        "time": duration(record.seconds),
        "versions": versions,
    }
    return _table(("", ""), list(lines.items()))


def _curve(curve: pd.DataFrame) -> str:
    """A few evenly spaced points of the loss curve, the last among them."""
    stride = -(-len(curve) // _POINTS)
    chosen = curve.assign(held_out=held_out_loss(curve)).iloc[::-1].iloc[::stride].iloc[::-1]
    lines = [
        (
            f"{point.step:,.0f}",
            f"{point.samples:,.0f}",
            _number(point.train_loss),
            _number(point.held_out),
        )
        for point in chosen.itertuples()
    ]
    head = ("step", "samples", "training loss", "held-out synthetic loss")
    return _table(head, lines)


def _results(scores: pd.DataFrame) -> str:
    lines = [
        (
            f"`{line['check']}`",
            f"{line['context_length']} → {line['horizon']}",
            f"{line['windows']:,}",
            _METHODS.get(line["method"], line["method"]),
            *(_number(line[metric]) for metric in ("mse", "mae", "mase", "wql")),
        )
        for line in scores.to_dict("records")
    ]
    head = ("validation split of", "steps", "windows", "forecast", "MSE", "MAE", "MASE", "WQL")
    return (
        "MSE and MAE are of the median, in units of the training part's standard deviation.\n\n"
        + _table(head, lines)
    )


def _limits(model: dict[str, Any]) -> str:
    return (
        "- One series at a time: no covariates, no effects between series, no holidays.\n"
        f"- Horizons beyond {model['horizon']:,} steps are rolled out: they take longer, and bands "
        "are less reliable.\n"
        f"- Steps of context before the last {model['context_length']:,} are not read.\n"
        "- Quantiles below 0.1 and above 0.9 are not learnt. The network's own quantiles can "
        "cross; tsmemory sorts them.\n"
        "- Larger models that were trained on real data can be more accurate. Compare it with the "
        "seasonal naive forecast on your own data before you rely on it.\n"
    )


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    rows = [head, tuple("---" for _ in head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _first_line(function: Any) -> str:
    return str(function.__doc__ or "").strip().splitlines()[0]


def _number(value: Any) -> str:
    return "-" if value != value else f"{float(value):.4f}"
