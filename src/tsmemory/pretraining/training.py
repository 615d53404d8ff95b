"""Pretraining: one loop, resumable, with its loss curve and zero-shot checks."""

import logging
import math
import time
from dataclasses import replace

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting

from tsmemory.backbones.devices import check_device
from tsmemory.pretraining.checkpoint import Checkpoints, State
from tsmemory.pretraining.corpus import Batch, draw_windows, stream_batches
from tsmemory.pretraining.display import duration, progress_bar
from tsmemory.pretraining.draws import Draws
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.pretraining.hardware import describe_hardware, describe_versions
from tsmemory.pretraining.learning import Learner
from tsmemory.pretraining.model import build_model
from tsmemory.pretraining.optimization import WeightAverage, is_level, learning_rate
from tsmemory.pretraining.recipe import describe_recipe, essence, refuse_misfits
from tsmemory.pretraining.task import Pretraining
from tsmemory.scaleout.communication import average_weights
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.large_batch import scaled_rate
from tsmemory.scaleout.parallel import fit_parallel

Point = dict[str, float]

_HELD_OUT = 1 << 40  # seeds from here on are never trained on
logger = logging.getLogger(__name__)


def pretrain(task: Pretraining) -> "Trainer":
    """Train on as many ranks as the settings or the launcher say.

    Args:
        task: What the run is told.

    Returns:
        The run, at its end, as the first rank has it.

    Raises:
        PretrainingError: As :class:`Trainer` raises it.
        ScaleoutError: Devices that this machine lacks, a library that is not installed, or a rank
            that has failed.
    """
    config = task.config
    return fit_parallel(
        _train,
        task,
        device=config.device,
        devices=config.devices,
        communication=config.communication,
    )


class Trainer:
    """A pretraining run, as one rank sees it; the first one judges, logs and writes.

    The same call after a kill goes on from the latest checkpoint and ends with the weights of an
    uninterrupted run, to the bit. Not so with ``average_every`` above 1, since only the first
    rank's moments are kept, and with PowerSGD, since what it has missed is not kept and it starts
    anew. A call with more steps goes on from the last checkpoint before the rate fell.

    Attributes:
        model: The network.
        step: Steps done.
        seconds: Time that they took, checks and checkpoints not counted.
        curve: The loss curve, a point every ``check_every`` steps; only the first rank has it.
        hardware: What computed the latest steps.
        versions: Of Python and of libraries, likewise.
    """

    def __init__(self, task: Pretraining, ranks: Ranks | None = None) -> None:
        """Draw the initial weights.

        Args:
            task: What the run is told.
            ranks: Who trains; this process alone if not given.

        Raises:
            PretrainingError: Settings that do not fit each other.
            BackboneError: A device that this machine lacks.
            ScaleoutError: An optimizer whose library is not installed.
        """
        config = task.config
        self.ranks = ranks or Ranks(device=config.device)
        refuse_misfits(task.model, task.corpus, config)
        check_device(self.ranks.device)
        self.model_config, self.corpus = task.model, task.corpus
        self.optimizer, self.config, self.checks = task.optimizer, config, dict(task.checks)
        with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
            torch.manual_seed(config.seed)
            self.model = build_model(task.model).to(self.ranks.device)
        self.learner = Learner(self.model, self.optimizer, config, self.ranks)
        self.average = WeightAverage(self.model, self.optimizer.average)
        rate = scaled_rate(self.optimizer.learning_rate, config.batch, self.optimizer.base_batch)
        self.schedule = replace(self.optimizer, learning_rate=rate)
        recipe = describe_recipe(task.model, task.corpus, self.optimizer, config)
        self.checkpoints = Checkpoints(task.folder, essence(recipe, self.ranks.size))
        self.step = 0
        self.seconds = 0.0
        self.curve: list[Point] = []
        self.hardware = describe_hardware(self.ranks.device, self.ranks.size)
        self.versions = describe_versions()

    def fit(self) -> ChronosBoltModelForForecasting:
        """Train to the last step.

        Returns:
            The network with the average of its weights, ready to forecast.

        Raises:
            PretrainingError: The loss is not finite, or the folder's checkpoints are of another
                recipe, damaged, or of a longer run.
        """
        self._resume()
        self.learner.connect(self.step)
        self.model.train()
        batches = stream_batches(
            self.corpus,
            self.config.seed,
            self.config.batch,
            first=self.step,
            device=self.ranks.device,
        )
        total, count, began = 0.0, 0, time.perf_counter()
        with progress_bar(self.config.steps, self.step, wanted=self.ranks.is_first) as show:
            while self.step < self.config.steps:
                loss = self._learn(next(batches))
                total, count, self.step = total + loss, count + 1, self.step + 1
                show(self.step, loss)
                if self.step % self.config.check_every == 0 or self.step == self.config.steps:
                    self._settle()
                    took = time.perf_counter() - began
                    self.seconds += took
                    if self.ranks.is_first:  # the others wait with their next exchange
                        self._record(total / count, count / took)
                        self._save()
                    total, count, began = 0.0, 0, time.perf_counter()
        self.average.swap(self.model)
        return self.model.eval()

    def _learn(self, batch: Batch) -> float:
        """One step; the mean loss of its windows before it."""
        rate = learning_rate(self.step, self.config.steps, self.schedule)
        value = self.learner.gather(batch)
        if not math.isfinite(value):
            raise PretrainingError(
                f"the loss is {value} at step {self.step:,} (learning rate {rate:.2g}): lower "
                "optimizer.learning_rate, raise optimizer.warmup, or use precision float32"
            )
        self.learner.move(rate)
        self.average.update(self.model, self.step)
        return value

    def _settle(self) -> None:
        """Make weights and their averages equal at all ranks, which periodic averaging keeps apart.

        The mean of the ranks' averages is the average of their mean.
        """
        self.learner.settle()
        if self.ranks.size > 1 and self.ranks.communication.average_every > 1:
            average_weights(list(self.average.weights.values()))

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
            draws = Draws(_HELD_OUT + number, self.ranks.device)
            windows = draw_windows(self.corpus, draws, self.config.held_out, length)
            answer[f"held_out_{length}"] = float(self.learner.losses(*windows).mean())
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
            "optimizers": [optimizer.state_dict() for optimizer in self.learner.optimizers],
            "scaler": self.learner.precision.state_dict(),
        }
        self.checkpoints.save(state, level=is_level(self.step, self.config.steps, self.optimizer))

    def _resume(self) -> None:
        """Take up the latest checkpoint that belongs to this run, if there is one."""
        # Only the first rank has the folder for certain.
        state = self.ranks.agree(self._load() if self.ranks.is_first else None)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.average.take(state["average"])
        for optimizer, saved in zip(self.learner.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.learner.precision.load_state_dict(state["scaler"])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        if self.step == self.config.steps:  # else what computes from here on counts
            self.hardware, self.versions = state["hardware"], state["versions"]
        logger.info("Going on from step %s of %s", f"{self.step:,}", f"{self.config.steps:,}")

    def _load(self) -> State | None:
        """The latest checkpoint that belongs to this run."""
        reached: list[tuple[int, int]] = []

        def fits(state: State) -> bool:
            step, steps = int(state["step"]), int(state["steps"])
            reached.append((step, steps))
            wanted, same = self.config.steps, steps == self.config.steps
            level = all(is_level(step, end, self.optimizer) for end in (steps, wanted))
            return step <= wanted and (same or level)

        state = self.checkpoints.load(fits)
        if state is None:
            self._refuse_to_shorten(reached)
        return state

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


def _train(ranks: Ranks, task: Pretraining) -> Trainer:
    """What every rank does."""
    trainer = Trainer(task, ranks)
    trainer.fit()
    return trainer
