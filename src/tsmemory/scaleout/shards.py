"""Long work in shards that survives a kill: whole shards are kept on disk and never made twice.

Who makes them is a setting: this process, a pool of processes, or a Dask cluster. Results are the
same, since each shard is made by itself.
"""

import logging
from collections.abc import Callable, Container, Iterator, Sequence
from typing import TypeVar

from tsmemory.progress import track
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.scaleout.shard_cache import Arrays, OpenShardCache, ShardCache

__all__ = ["Arrays", "OpenShardCache", "ShardCache", "map_shards"]

S = TypeVar("S")
logger = logging.getLogger(__name__)


def map_shards(
    function: Callable[[S], Arrays],
    shards: Sequence[S],
    *,
    cache: OpenShardCache | None,
    description: str,
    config: ShardsConfig = IN_THIS_PROCESS,
) -> Iterator[Arrays]:
    """Apply a function to every shard; results come in order, whatever the order of the work.

    One result is held at a time, or without a cache a few for each worker, so that a merge that
    consumes them as they come needs no more memory than that.

    Args:
        function: Turns a shard into named arrays. For workers it has to be an object of an
            importable class, with a ``__call__``; what it holds is handed to them once. A
            ``device`` of its own says where it computes, if that is not the CPU.
        shards: What to work through.
        cache: Where results are kept and, after an interrupted run, found; ``None`` keeps nothing.
            Workers that see its folder write their results there themselves.
        description: A few words on the work, for the progress bar.
        config: Who works; by default this process, each result being kept before the next begins.

    Yields:
        The result of each shard, in the order of ``shards``.

    Raises:
        ScaleoutError: A shard has failed as often as it was to be tried, or the workers cannot be
            had. Errors that a user can mend come as they are, at once.
    """
    if cache is not None:
        cache.tidy()
    missing = [i for i in range(len(shards)) if cache is None or not cache.path(i).exists()]
    if len(missing) < len(shards):
        ready = len(shards) - len(missing)
        logger.info("%s: %d of %d shards are already there", description, ready, len(shards))
    if config.executor != "inline" and len(missing) > 1:
        from tsmemory.scaleout.shard_crew import shared_out

        with shared_out(function, shards, missing, cache, description, config) as take:
            yield from _in_order(take, len(shards), set(missing), cache, description)
        return

    def make(index: int) -> Arrays:
        arrays = function(shards[index])
        if cache is not None:
            cache.store(index, arrays)
        return arrays

    yield from _in_order(make, len(shards), set(missing), cache, description)


def _in_order(
    make: Callable[[int], Arrays],
    count: int,
    missing: Container[int],
    cache: OpenShardCache | None,
    description: str,
) -> Iterator[Arrays]:
    """Every shard's arrays: what is made, or what was there before and can be read."""
    for index in track(range(count), description):
        # A worker may have written a missing one meanwhile: still it is taken from the workers.
        arrays = cache.load(index) if cache is not None and index not in missing else None
        yield make(index) if arrays is None else arrays
