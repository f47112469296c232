"""The local engine: runs a plan's shards, here or in worker processes; each is committed as it ends.

Batches, numeric threads and random keys do not depend on the number of workers, so neither do the
rows. A worker that dies (killed, out of memory) costs nothing but time: its shard is tried once more
by itself; a shard that kills its worker twice becomes failure rows.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from threadpoolctl import threadpool_limits

from simclick.agent import Agent
from simclick.datasets.base import Dataset
from simclick.episode import Rules
from simclick.errors import ConfigError
from simclick.harness.commits import GroupCommit
from simclick.harness.embedding_cache import EmbeddingCache
from simclick.harness.encoding import Encoder, Encodes, settle
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import Block, Plan
from simclick.harness.records import Rows
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.harness.store import RunDirectory
from simclick.protocol import Protocol

__all__ = ["Engine", "Progress", "numeric_threads"]

Progress = Callable[[int, int], None]
"""Called with (rounds answered, episodes ended) since the last call."""


@dataclass(frozen=True)
class Engine:
    """How a plan is run.

    Attributes:
        workers: Worker processes; 1 runs in this process.
        threads: Numeric threads of each worker (OpenCV, BLAS, torch), whatever their number.
        cache: Folder where encoded images are kept for later runs, or None.
        cache_gb: Most that they take there, in units of 10⁹ bytes.
        cache_fp16: Keep them in half precision: half the size, masks that may differ by some pixels, and
            so another digest of the agent.
    """

    workers: int = 1
    threads: int = 1
    cache: str | None = None
    cache_gb: float = 20.0
    cache_fp16: bool = False

    def __post_init__(self) -> None:
        for name in ("workers", "threads"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"engine.{name}={value}: must be a whole number ≥ 1")
        if self.cache is not None and not isinstance(self.cache, str):
            raise ConfigError(f"engine.cache={self.cache}: must be a folder, or null")
        if isinstance(self.cache_gb, bool) or not isinstance(self.cache_gb, (int, float)):
            raise ConfigError(f"engine.cache_gb={self.cache_gb}: must be a number > 0")
        if not math.isfinite(self.cache_gb) or self.cache_gb <= 0:
            raise ConfigError(f"engine.cache_gb={self.cache_gb}: must be a number > 0")
        if not isinstance(self.cache_fp16, bool):
            raise ConfigError(f"engine.cache_fp16={self.cache_fp16}: must be true or false")

    def encoder(self, agent: Agent) -> Encoder:
        """Return what encodes the agent's images, through the cache where there is one.

        Raises:
            ConfigError: When the cache's folder cannot be used.
        """
        if self.cache is None:
            return Encoder(agent)
        return Encoder(agent, EmbeddingCache(Path(self.cache).expanduser(), self.cache_gb), self.cache_fp16)

    def run(
        self,
        plan: Plan,
        directory: RunDirectory,
        agent: Agent,
        dataset: Dataset,
        specs: tuple[AgentSpec, DatasetSpec],
        progress: Progress,
    ) -> Encodes:
        """Run every shard of the plan that the directory does not hold yet.

        Args:
            plan: The plan.
            directory: Open for writing.
            agent: The agent, for a run in this process.
            dataset: The data set, likewise.
            specs: How workers make their own agent and data set.
            progress: Told of rounds and episodes as they end.

        Returns:
            How images came by their embeddings.
        """
        done = directory.done
        todo = [index for index in range(len(plan.shards)) if index not in done]
        if self.workers == 1 or len(todo) <= 1:
            agent.log_to(directory.path)
            rules = Rules(plan.protocol, plan.seed)
            encoder = self.encoder(agent)
            lockstep = Lockstep(
                agent, dataset, rules, save_masks=plan.save_masks, on_step=progress, encoder=encoder
            )
            with numeric_threads(self.threads), GroupCommit(directory) as commits:
                for index in todo:
                    commits.add(index, _run_shard(lockstep, plan.shards[index]))
            return encoder.done
        with GroupCommit(directory) as commits:
            job = _Job(specs, plan.protocol, plan.seed, plan.save_masks, self, directory.path)
            return self._run_workers(plan, commits, todo, job, progress)

    def _run_workers(
        self,
        plan: Plan,
        commits: GroupCommit,
        todo: Sequence[int],
        job: _Job,
        progress: Progress,
    ) -> Encodes:
        done = Encodes()
        left = list(todo)

        def keep(index: int, rows: Rows, encodes: Encodes) -> None:
            nonlocal done
            done += encodes
            commits.add(index, rows)
            left.remove(index)
            progress(rows.count("steps"), rows.count("episodes"))

        suspects: list[int] = []
        while trusted := [index for index in left if index not in suspects]:
            suspects += self._pool(plan, trusted, job, self.workers, keep)
        for index in suspects:
            if self._pool(plan, [index], job, 1, keep):
                keep(index, _dead_shard(plan, plan.shards[index]), Encodes())
        return done

    def _pool(
        self,
        plan: Plan,
        todo: Sequence[int],
        job: _Job,
        workers: int,
        keep: Callable[[int, Rows, Encodes], None],
    ) -> list[int]:
        """Run shards in a pool; return those that were under way when a worker died."""
        waiting = iter(todo)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(workers, len(todo)), context, _start_worker, (job,))
        running: dict[Future[tuple[Rows, Encodes]], int] = {}
        try:

            def feed() -> None:
                for index in waiting:
                    running[pool.submit(_work, plan.shards[index])] = index
                    if len(running) >= 2 * workers:
                        return

            feed()
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    keep(running[future], *future.result())
                    del running[future]
                feed()
        except BrokenProcessPool:
            return sorted(running.values())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return []


@dataclass(frozen=True)
class _Job:
    """What a worker needs to make its own lockstep."""

    specs: tuple[AgentSpec, DatasetSpec]
    protocol: Protocol
    seed: int
    save_masks: bool
    engine: Engine
    folder: Path


_lockstep: Lockstep | None = None
"""A worker process's own lockstep, made once by `_start_worker`."""


def _start_worker(job: _Job) -> None:
    global _lockstep
    Thread(target=_end_with_parent, daemon=True).start()
    agent_spec, dataset_spec = job.specs
    agent = agent_spec.make()
    settle(agent, job.engine.cache is not None and job.engine.cache_fp16)
    agent.log_to(job.folder)
    _limit_threads(job.engine.threads)
    rules = Rules(job.protocol, job.seed)
    encoder = job.engine.encoder(agent)
    _lockstep = Lockstep(agent, dataset_spec.make(), rules, save_masks=job.save_masks, encoder=encoder)


def _end_with_parent() -> None:
    """End this process when its parent is gone: a killed run must not leave workers that wait for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _work(shard: Sequence[Block]) -> tuple[Rows, Encodes]:
    assert _lockstep is not None
    before = _lockstep.encoder.done
    return _run_shard(_lockstep, shard), _lockstep.encoder.done - before


def _run_shard(lockstep: Lockstep, shard: Sequence[Block]) -> Rows:
    rows = Rows()
    for block in shard:
        rows.extend(lockstep.run(block))
    return rows


def _dead_shard(plan: Plan, shard: Sequence[Block]) -> Rows:
    """Return failure rows for a shard whose worker died twice: no answer, Dice 0."""
    rows = Rows()
    digests = (plan.agent.digest, plan.protocol.digest)
    error = "the worker process died (killed, or out of memory), twice"
    for case in (case for block in shard for case in block.cases):
        head = (plan.agent.name, plan.protocol.id, plan.dataset.name, case.case_id, plan.noise)
        about = (case.group, case.modality, case.target)
        for level, repeat in plan.cells:
            rows.add("episodes", *head, level, repeat, *about, "failed", error, 0, 0.0, 0.0, *digests)
    return rows


@contextmanager
def numeric_threads(threads: int) -> Iterator[None]:
    """Hold numeric libraries to a number of threads, and set it back afterwards."""
    import cv2
    import scipy.linalg  # noqa: F401  (brings its own BLAS, which only then can be held back)

    before = cv2.getNumThreads()
    torch = sys.modules.get("torch")
    torch_before = torch.get_num_threads() if torch is not None else 0
    with threadpool_limits(limits=threads):
        _limit_threads(threads, blas=False)
        try:
            yield
        finally:
            cv2.setNumThreads(before)
            if torch is not None:
                torch.set_num_threads(torch_before)


def _limit_threads(threads: int, blas: bool = True) -> None:
    import cv2

    cv2.setNumThreads(threads)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    if blas:
        threadpool_limits(limits=threads)
