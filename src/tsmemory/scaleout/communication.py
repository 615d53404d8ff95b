"""How ranks exchange gradients: hooks into DDP (Jia et al. 2018, section 3.2; METHOD 3)."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import (
    PostLocalSGDState,
    post_localSGD_hook,
)
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Groups, Ranks

M = TypeVar("M", bound=nn.Module)

_MIB = 1 << 20


class SharedModel:
    """A model that every rank holds, and whose gradients are averaged over all ranks.

    On one rank it is the model itself. On several the weights are those of the first rank from the
    beginning on. The optimizer works on the parameters of the model as it was given.

    Attributes:
        model: The model as it was given.
        ranks: Who trains.
    """

    def __init__(
        self,
        model: M,
        ranks: Ranks,
        call: Callable[..., Any] | None = None,
        *,
        first_step: int = 0,
        some_unused: bool = False,
    ) -> None:
        """Connect the ranks; all of them have to.

        Args:
            model: The model.
            ranks: Who trains, and how gradients are exchanged.
            call: What is computed, called as ``call(model, …)``; by default ``model(…)``. All that
                gradients are wanted of has to be computed in it.
            first_step: Steps done before, in a training that goes on.
            some_unused: Whether a step may leave parameters without a gradient.

        Raises:
            ScaleoutError: PowerSGD between ranks on the CPU of a machine with a GPU.
        """
        self.model, self.ranks = model, ranks
        self._call = _Called(model, call)
        self._step, self._apart = first_step, False
        self._ddp = self._connect(some_unused) if ranks.size > 1 else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute; a backward pass through the answer averages the gradients."""
        return (self._ddp or self._call)(*args, **kwargs)

    def holding_back(self) -> AbstractContextManager[None]:
        """Passes inside it add to this rank's own gradients, and none are exchanged."""
        return nullcontext() if self._ddp is None else self._ddp.no_sync()

    def stepped(self) -> None:
        """To be called after every step of the optimizer: weights are averaged where it is due."""
        config = self.ranks.communication
        self._step += 1
        if self._ddp is None or config.average_every == 1 or self._step <= config.average_after:
            return
        self._apart = True
        if (self._step - config.average_after) % config.average_every == 0:
            self.settle()

    def settle(self) -> None:
        """Make weights equal at all ranks, as they are but between two averages.

        To be called by all of them before the model is judged or saved.
        """
        if self._apart:
            average_weights([w for w in self.model.parameters() if w.requires_grad])
            self._apart = False

    def _connect(self, some_unused: bool) -> DistributedDataParallel:
        config = self.ranks.communication
        if config.compression == "powersgd":
            _refuse_to_wait_for_a_gpu(self.ranks.device)
        ddp = DistributedDataParallel(
            self._call,
            bucket_cap_mb=config.bucket_cap_mb,
            forward_sync_buffers=False,
            find_unused_parameters=some_unused,
        )
        if config.average_every > 1:
            own = Groups.of(self.ranks).own
            local = PostLocalSGDState(None, own, start_localSGD_iter=config.average_after)  # type: ignore[no-untyped-call]
            local.iter = self._step
            ddp.register_comm_hook(local, post_localSGD_hook)
        elif config.compression == "powersgd":
            low_rank = PowerSGDState(
                None,
                matrix_approximation_rank=config.powersgd_rank,
                start_powerSGD_iter=config.powersgd_start,
            )
            # Its memory is laid out by buckets, which DDP lays out anew after the first step.
            low_rank.iter = min(self._step, config.powersgd_start - 2)
            on_gpu = torch.device(self.ranks.device).type == "cuda"
            ddp.register_comm_hook(low_rank, powerSGD_hook if on_gpu else low_rank_in_turn)
        elif config.reduce != "plain" or config.compression != "none":
            ddp.register_comm_hook(Exchange(self.ranks), exchange)
        return ddp


def _refuse_to_wait_for_a_gpu(device: str) -> None:
    # PyTorch's hook synchronises the bucket's device wherever there is a GPU, and cannot if that
    # is the CPU.
    if torch.device(device).type != "cuda" and torch.cuda.is_available():
        raise ScaleoutError(
            f"compression powersgd does not work with device {device} on a machine that has a GPU: "
            "use device cuda, hide the GPU with CUDA_VISIBLE_DEVICES=, or choose another "
            "compression"
        )


class _Called(nn.Module):
    """A function of a model as a module, since DDP watches calls of modules only."""

    def __init__(self, model: nn.Module, call: Callable[..., Any] | None) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.call is None:
            return self.model(*args, **kwargs)
        return self.call(self.model, *args, **kwargs)


class Exchange:
    """Sums of a bucket over all ranks, in one go or by way of groups.

    Attributes:
        ranks: Who takes part.
        groups: Groups of ranks; ``None`` where there is one group, or each rank is its own.
    """

    def __init__(self, ranks: Ranks) -> None:
        """Make the groups; all ranks have to.

        Args:
            ranks: Who takes part, and how.
        """
        self.ranks = ranks
        groups = None if ranks.communication.reduce == "plain" else Groups.of(ranks)
        self.groups = groups if groups is not None and 1 < groups.size < ranks.size else None
        # One thread, so that every rank takes the buckets in one order while others are computed.
        self._thread = ThreadPoolExecutor(1, "exchange")

    def sum(self, bucket: Tensor, size: int) -> Future[Tensor]:
        """Add a bucket up over all ranks, in place.

        Args:
            bucket: One-dimensional.
            size: Bytes by which it counts as small or large.
        """
        config, groups = self.ranks.communication, self.groups
        large = config.reduce == "hybrid" and size > config.hybrid_mb * _MIB
        if groups is None or large:
            work = dist.all_reduce(bucket, async_op=True)
            return work.get_future().then(lambda done: done.value()[0])  # type: ignore[no-any-return]
        future: Future[Tensor] = Future(devices=[bucket.device] if bucket.is_cuda else None)
        if bucket.is_cuda:  # NCCL only queues: nothing waits here
            _sum_by_groups(bucket, groups)
            future.set_result(bucket)
        else:
            self._thread.submit(_fulfil, future, bucket, groups)
        return future


def exchange(state: Exchange, bucket: GradBucket) -> Future[Tensor]:
    """DDP's communication hook: the mean of a bucket over all ranks.

    Args:
        state: How it is added up.
        bucket: Gradients, in one dimension.
    """
    whole = bucket.buffer()
    # Divided first, as fp16 would overflow sooner otherwise.
    if state.ranks.communication.compression == "none":
        return state.sum(whole.div_(state.ranks.size), whole.nbytes)
    half = whole.div_(state.ranks.size).to(torch.float16)
    return state.sum(half, whole.nbytes).then(lambda done: whole.copy_(done.value()))


def low_rank_in_turn(state: PowerSGDState, bucket: GradBucket) -> Future[Tensor]:
    """PowerSGD of one bucket after the other, for ranks on CPUs.

    A bucket takes three exchanges. Those of several at once come in one order on a GPU; with gloo
    every rank has its own order, and what they add up does not belong together.

    Args:
        state: PyTorch's.
        bucket: Gradients, in one dimension.
    """
    future = powerSGD_hook(state, bucket)
    future.wait()
    return future


@torch.no_grad()
def average_weights(weights: Sequence[Tensor]) -> None:
    """Give every rank the mean of all ranks' weights.

    Args:
        weights: Of one type and device.
    """
    flat = torch.cat([weight.reshape(-1) for weight in weights]).div_(dist.get_world_size())
    dist.all_reduce(flat)
    means = torch.split(flat, [weight.numel() for weight in weights])
    for weight, mean in zip(weights, means, strict=True):
        weight.copy_(mean.view_as(weight))


def _sum_by_groups(bucket: Tensor, groups: Groups) -> None:
    """Sum inside the group, among the leaders, and back (Jia et al., hierarchical all-reduce)."""
    dist.reduce(bucket, groups.leader, group=groups.own)
    if groups.leaders is not None:
        dist.all_reduce(bucket, group=groups.leaders)
    dist.broadcast(bucket, groups.leader, group=groups.own)


def _fulfil(future: Future[Tensor], bucket: Tensor, groups: Groups) -> None:
    try:
        _sum_by_groups(bucket, groups)
        future.set_result(bucket)
    except Exception as error:  # it is raised where the backward pass waits
        future.set_exception(error)  # type: ignore[arg-type]
