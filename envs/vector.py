"""The vector form of ``simclick/Segmentation-v0``: many episodes on one image, in lockstep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from simclick.case import Case
from simclick.envs.observation import as_masks
from simclick.envs.segmentation import frame, read_only_copy
from simclick.envs.stage import Stage, checked_level, checked_options, checked_repeat, facts
from simclick.episode import Episode, ask
from simclick.protocol import Protocol

__all__ = ["SegmentationVectorEnv"]

Step = tuple[
    dict[str, NDArray[Any]], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
]


class SegmentationVectorEnv(VectorEnv[dict[str, NDArray[Any]], ArrayLike, NDArray[Any]]):
    """Many episodes on one image, in lockstep: noise levels, repeats, or both.

    Episode ``i`` is that of `simclick.envs.segmentation.SegmentationEnv` with ``level[i]`` and
    ``repeat[i]``, step by step; spaces, reward, info and end are described there. What differs:

    * All episodes play the same case, so an agent encodes one image. The annotator is asked once
      for all of them. No image is copied at a step.
    * Arrays have the episodes first: the action is [N, H, W]; `mask` Int8[N, H, W], `prompts`
      Int32[N, rows, columns], `count` Int64[N]; reward Float64[N], terminated and truncated Bool[N].
    * The info holds arrays, each with its ``_key``: Bool[N], True for the episodes it speaks of.
      ``info["image"]`` at reset is UInt8[N, H, W, 3], read-only: one image seen N times, so
      ``info["image"][0]`` is all there is, and it costs the memory of one (`truth` likewise).
    * Autoreset is off. The action of an episode that is over is ignored: its observation stays,
      its reward is 0, and it stays terminated or truncated until it is reset.
    * ``reset(options={"reset_mask": Bool[N]})`` starts the episodes under the mask again, on the
      same case; the others stay as they are.
    * One seed keys the draws of all episodes: they differ by level and repeat, so episodes of one
      repeat are paired across levels. A reset without a seed moves the episodes that it starts on
      by as many repeats as the batch spans (largest less smallest, and one): no repeat is met twice.

    ```python
    protocol = load_protocol("…")
    levels, repeats = zip(*protocol.cells())
    envs = gymnasium.make_vec(
        "simclick/Segmentation-v0",
        num_envs=len(levels),
        vectorization_mode="vector_entry_point",
        case=case,
        protocol=protocol,
        level=levels,
        repeat=repeats,
    )
    ```

    Args:
        case: One `Case`, or several of one size; ``options={"case": i}`` chooses at a full reset.
        protocol: A `Protocol` or its id.
        num_envs: Number of episodes, N.
        level: Noise level of all episodes, or of each.
        repeat: First repeat of all episodes, or of each; 0, 1, …, N - 1 unless given.
        training: Whether the info holds the truth.
        render_mode: None or ``"rgb_array"``: `render` returns a picture per episode.

    Raises:
        ConfigError: When there is no protocol of that id.
        ValueError: When cases differ in size or an argument is out of range.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium declares it on the instance)
        "render_modes": ["rgb_array"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.DISABLED,
    }

    def __init__(
        self,
        case: Case | Iterable[Case],
        protocol: Protocol | str = "noc-v1",
        *,
        num_envs: int = 1,
        level: float | Sequence[float] = 0.0,
        repeat: int | Sequence[int] | None = None,
        training: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs} must be a whole number ≥ 1")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode={render_mode!r} must be None or 'rgb_array' in the vector form")
        self._stage = Stage(case, protocol)
        levels = _each("level", level, num_envs)
        self._levels = [checked_level(value, self._stage.protocol) for value in levels]
        repeats = _each("repeat", range(num_envs) if repeat is None else repeat, num_envs)
        self._first_repeats = [checked_repeat(value) for value in repeats]
        self._span = max(self._first_repeats) - min(self._first_repeats) + 1
        self._repeats = list(self._first_repeats)
        self._rules = [self._stage.rules(seed=0)] * num_envs
        self._case = 0
        self._episodes: list[Episode] = []
        self._training = training
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_action_space = self._stage.layout.action_space
        self.single_observation_space = self._stage.layout.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Start all episodes, or those under ``options["reset_mask"]``.

        Raises:
            ResetNeeded: When a mask leaves out an episode that was never started.
            ValueError: When an option is unknown or has a bad value.
        """
        options_ = checked_options(options, ("case", "reset_mask"))
        which = _reset_mask(options_.get("reset_mask"), self.num_envs)
        if not which.all():
            if not self._episodes:
                raise ResetNeeded("the first reset starts all episodes: leave out options['reset_mask']")
            if "case" in options_:
                raise ValueError("options['case'] needs a reset of all episodes: they share one case")
        super().reset(seed=seed)
        if which.all():
            self._case = self._stage.pick(options_, self.np_random)
        self._start(np.flatnonzero(which).tolist(), seed)
        info = self._info(which)
        case = self._stage.cases[self._case]
        self._batch_info(info, "case_id", _objects([case.case_id] * self.num_envs), which)
        for key in ("image", "truth") if self._training else ("image",):
            one = read_only_copy(getattr(case, key))
            self._batch_info(info, key, np.broadcast_to(one, (self.num_envs, *one.shape)), which)
        return self._stage.layout.observe(self._episodes), info

    def step(self, actions: ArrayLike) -> Step:
        """Answer the last round of every episode that is not over.

        Args:
            actions: Bool[N, H, W], or whole numbers 0 and 1.

        Raises:
            ResetNeeded: When there is no episode yet.
            ValueError: When the masks have another shape, dtype or other values; all episodes wait.
        """
        if not self._episodes:
            raise ResetNeeded("no episode yet: call reset()")
        actions = np.asarray(actions)
        size, shape = self._stage.layout.size, (self.num_envs, *self._stage.layout.size)
        if actions.shape != shape:
            raise ValueError(f"the actions are masks of shape {list(actions.shape)}, not {list(shape)}")
        waiting = [i for i, episode in enumerate(self._episodes) if episode.waiting]
        masks = [as_masks(actions[i], size) for i in waiting]
        rewards = np.zeros(self.num_envs, dtype=np.float64)
        for i, mask in zip(waiting, masks, strict=True):
            rewards[i] = self._episodes[i].answer(mask)
        ask([episode for episode in self._episodes if episode.status == "running"])
        status = [episode.status for episode in self._episodes]
        terminated = np.array([s == "terminated" for s in status], dtype=np.bool_)
        truncated = np.array([s == "truncated" for s in status], dtype=np.bool_)
        info = self._info(np.ones(self.num_envs, dtype=np.bool_))
        return self._stage.layout.observe(self._episodes), rewards, terminated, truncated, info

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return a picture per episode, UInt8[h, w, 3] each; None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(frame(episode) for episode in self._episodes)

    def _start(self, which: list[int], seed: int | None) -> None:
        ground = self._stage.ground(self._case)
        if not self._episodes:
            self._episodes = [Episode(ground, rules) for rules in self._rules]
        for i in which:
            if seed is not None:
                self._rules[i] = self._stage.rules(seed)
                self._repeats[i] = self._first_repeats[i]
            self._episodes[i] = Episode(ground, self._rules[i], self._levels[i], self._repeats[i])
            self._repeats[i] += self._span
        ask([self._episodes[i] for i in which if self._episodes[i].status == "running"])

    def _info(self, which: NDArray[np.bool_]) -> dict[str, Any]:
        known = [facts(episode, self._training) for episode in self._episodes]
        info: dict[str, Any] = {}
        for key in known[0]:
            values = [fact[key] for fact in known]
            self._batch_info(info, key, _objects(values) if key == "rounds" else np.array(values), which)
        return info

    @staticmethod
    def _batch_info(info: dict[str, Any], key: str, values: NDArray[Any], which: NDArray[np.bool_]) -> None:
        info[key] = values
        info[f"_{key}"] = which.copy()


def _each(name: str, value: Any, n: int) -> list[Any]:
    """Return a value per episode: the same for all, or a sequence of N."""
    if not isinstance(value, Sequence | np.ndarray):
        return [value] * n
    if len(value) != n:
        raise ValueError(f"{name} has {len(value)} values for num_envs={n} episodes")
    return list(value)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _reset_mask(mask: Any, n: int) -> NDArray[np.bool_]:
    """Return which episodes to start; all unless a mask is given."""
    if mask is None:
        return np.ones(n, dtype=np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (n,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must be a Bool[{n}] array with at least one True")
    return mask
