"""Pretraining: one loop, resumable, with its loss curve and zero-shot checks."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting

from tsmemory.backbones.devices import check_device
from tsmemory.pretraining.checkpoint import Checkpoints, State
from tsmemory.pretraining.config import ModelConfig, OptimiserConfig, TrainingConfig
from tsmemory.pretraining.corpus import Batch, CorpusConfig, draw_windows, stream_batches
from tsmemory.pretraining.display import duration, progress_bar
from tsmemory.pretraining.draws import Draws
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.pretraining.hardware import describe_hardware, describe_versions
from tsmemory.pretraining.model import (
    build_model,
    clarity,
    normal_quantiles,
    pinball,
    step_weights,
)
from tsmemory.pretraining.optimise import (
    WeightAverage,
    build_optimisers,
    is_level,
    learning_rate,
)
from tsmemory.pretraining.recipe import describe_recipe, essence, refuse_misfits

Check = Callable[[ChronosBoltModelForForecasting], Mapping[str, float]]
Point = dict[str, float]

_HELD_OUT = 1 << 40  # seeds from here on are never trained on
logger = logging.getLogger(__name__)


class Trainer:
    """A pretraining run.

    The same call after a kill goes on from the latest checkpoint and ends with the weights of an
    uninterrupted run, to the bit. A call with more steps goes on from the last checkpoint before
    the rate fell.

    Attributes:
        model: The network.
        step: Steps done.
        seconds: Time that they took, checks and checkpoints not counted.
        curve: The loss curve, a point every ``check_every`` steps.
        hardware: What computed the latest steps.
        versions: Of Python and of libraries, likewise.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        corpus: CorpusConfig,
        optimiser: OptimiserConfig,
        config: TrainingConfig,
        folder: Path,
        checks: Mapping[str, Check],
    ) -> None:
        """Draw the initial weights.

        Args:
            model_config: Sizes.
            corpus: What is learnt from.
            optimiser: How weights move.
            config: How long, on which device.
            folder: Where checkpoints are kept.
            checks: Each is called with the averaged model at every point of the curve, and returns
                values by name; weights do not depend on them.

        Raises:
            PretrainingError: Settings that do not fit each other.
            BackboneError: A device that this machine lacks.
        """
        refuse_misfits(model_config, corpus, config)
        check_device(config.device)
        self.model_config, self.corpus = model_config, corpus
        self.optimiser, self.config, self.checks = optimiser, config, dict(checks)
        with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
            torch.manual_seed(config.seed)
            self.model = build_model(model_config).to(config.device)
        self.optimisers = build_optimisers(self.model, optimiser)
        self.average = WeightAverage(self.model, optimiser.average)
        self.weights = step_weights(model_config.horizon, config.step_decay).to(config.device)
        self.scaler = torch.amp.GradScaler("cuda", enabled=config.precision == "float16")
        recipe = describe_recipe(model_config, corpus, optimiser, config)
        self.checkpoints = Checkpoints(folder, essence(recipe))
        self.step = 0
        self.seconds = 0.0
        self.curve: list[Point] = []
        self.hardware, self.versions = describe_hardware(config.device), describe_versions()

    def fit(self) -> ChronosBoltModelForForecasting:
        """Train to the last step.

        Returns:
            The network with the average of its weights, ready to forecast.

        Raises:
            PretrainingError: The loss is not finite, or the folder's checkpoints are of another
                recipe, damaged, or of a longer run.
        """
        self._resume()
        self.model.train()
        batches = stream_batches(
            self.corpus,
            self.config.seed,
            self.config.batch,
            first=self.step,
            device=self.config.device,
        )
        total, count, began = 0.0, 0, time.perf_counter()
        with progress_bar(self.config.steps, self.step) as show:
            while self.step < self.config.steps:
                loss = self._learn(next(batches))
                total, count, self.step = total + loss, count + 1, self.step + 1
                show(self.step, loss)
                if self.step % self.config.check_every == 0 or self.step == self.config.steps:
                    took = time.perf_counter() - began
                    self.seconds += took
                    self._record(total / count, count / took)
                    self._save()
                    total, count, began = 0.0, 0, time.perf_counter()
        self.average.swap(self.model)
        return self.model.eval()

    def _learn(self, batch: Batch) -> float:
        """One step; the mean loss of its windows before it."""
        rate = learning_rate(self.step, self.config.steps, self.optimiser)
        with self._autocast():
            quantiles = normal_quantiles(self.model, batch.contexts)
        losses = pinball(quantiles, batch.targets, self.weights)
        value = float(losses.detach().mean())
        if not math.isfinite(value):
            raise PretrainingError(
                f"the loss is {value} at step {self.step:,} (learning rate {rate:.2g}): lower "
                "optimiser.learning_rate, raise optimiser.warmup, or use precision float32"
            )
        loss = (clarity(quantiles, self.weights, self.config.floor) * losses).mean()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.optimiser.gradient_clip)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            self.scaler.step(optimiser)
            optimiser.zero_grad()
        self.scaler.update()
        self.average.update(self.model, self.step)
        return value

    def _autocast(self) -> torch.autocast:
        kind = torch.device(self.config.device).type
        half = self.config.precision != "float32"
        return torch.autocast(kind, getattr(torch, self.config.precision) if half else None, half)

    def _record(self, loss: float, speed: float) -> None:
        """Add a point to the curve: the averaged weights are judged, as they are what is kept."""
        self.average.swap(self.model)
        self.model.eval()
        point: Point = {
            "step": self.step,
            "samples": self.step * self.config.batch,
            "seconds": self.seconds,
            "train_loss": loss,
        }
        point |= self._held_out_loss()
        for name, check in self.checks.items():
            point |= {f"{name}_{metric}": value for metric, value in check(self.model).items()}
        self.model.train()
        self.average.swap(self.model)
        self.curve.append(point)
        found = [v for n, v in point.items() if n.startswith("held_out_")]
        logger.info(
            "Step %s of %s: training loss %.4f, held out %.4f, %.2f steps/s, %s left",
            f"{self.step:,}",
            f"{self.config.steps:,}",
            loss,
            sum(found) / len(found),
            speed,
            duration((self.config.steps - self.step) / speed),
        )

    @torch.inference_mode()
    def _held_out_loss(self) -> Point:
        """Loss on synthetic windows that are never trained on, for each context length."""
        answer = {}
        for number, length in enumerate(self.corpus.contexts):
            draws = Draws(_HELD_OUT + number, self.config.device)
            windows = draw_windows(self.corpus, draws, self.config.held_out, length)
            with self._autocast():
                quantiles = normal_quantiles(self.model, windows.contexts)
            losses = pinball(quantiles, windows.targets, self.weights)
            answer[f"held_out_{length}"] = float(losses.mean())
        return answer

    def _save(self) -> None:
        state = {
            "steps": self.config.steps,
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "hardware": self.hardware,
            "versions": self.versions,
            "model": self.model.state_dict(),
            "average": self.average.weights,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "scaler": self.scaler.state_dict(),
        }
        self.checkpoints.save(state, level=is_level(self.step, self.config.steps, self.optimiser))

    def _resume(self) -> None:
        """Take up the latest checkpoint that belongs to this run, if there is one."""
        reached: list[tuple[int, int]] = []

        def fits(state: State) -> bool:
            step, steps = int(state["step"]), int(state["steps"])
            reached.append((step, steps))
            wanted, same = self.config.steps, steps == self.config.steps
            level = all(is_level(step, end, self.optimiser) for end in (steps, wanted))
            return step <= wanted and (same or level)

        state = self.checkpoints.load(fits)
        if state is None:
            self._refuse_to_shorten(reached)
            return
        self.model.load_state_dict(state["model"])
        self.average.take(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        if self.step == self.config.steps:  # else what computes from here on counts
            self.hardware, self.versions = state["hardware"], state["versions"]
        logger.info("Going on from step %s of %s", f"{self.step:,}", f"{self.config.steps:,}")

    def _refuse_to_shorten(self, reached: list[tuple[int, int]]) -> None:
        """Begin anew only where no longer run is lost by it."""
        if not reached:
            return
        step, steps = max(reached)
        folder = self.checkpoints.folder
        if step > self.config.steps:
            raise PretrainingError(
                f"{folder} holds a run of {steps:,} steps that has come to step {step:,}, and "
                f"{self.config.steps:,} are asked for: give the shorter run another folder, or "
                "remove this one to begin anew"
            )
        logger.warning(
            "The checkpoint at step %s in %s was made while the rate fell for %s steps: a run of "
            "%s begins anew",
            f"{step:,}",
            folder,
            f"{steps:,}",
            f"{self.config.steps:,}",
        )
