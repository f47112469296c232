"""``simclick/Segmentation-v0``: one episode of interactive segmentation as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import ArrayLike, NDArray

from simclick.case import Case
from simclick.envs.observation import as_masks
from simclick.envs.rendering import draw
from simclick.envs.stage import Series, Stage, checked_options, facts
from simclick.envs.window import Window
from simclick.episode import Episode, ask
from simclick.protocol import Protocol

__all__ = ["SegmentationEnv", "frame", "read_only_copy"]


class SegmentationEnv(gym.Env[dict[str, Any], ArrayLike]):
    """Answer a simulated annotator's prompts with masks until nothing is left to correct.

    ## Description
    The environment holds one image and its ground truth, which the agent never sees. A simulated
    annotator compares the truth with the current mask and gives a round of prompts; the action is
    the mask that answers it. Annotator, noise, budget and costs come from a protocol. The rules are
    those of `simclick.episode.Episode`; the environment adds none.

    ## Action space
    ``MultiBinary((H, W))``: the mask, 1 (or True) where the object is. Bool and whole numbers 0 and
    1 of any integer type are accepted.

    ## Observation space
    A ``Dict``, made fresh at every step:

    | Key       | Space                               | Meaning                                        |
    |-----------|-------------------------------------|------------------------------------------------|
    | `mask`    | `MultiBinary((H, W))`, int8         | the mask chosen last; empty at first           |
    | `prompts` | `Box(-1, …, (rows, columns), int32)`| all prompts so far, oldest first, as landed    |
    | `count`   | `Discrete(rows + 1)`                | how many rows of `prompts` are filled          |

    A row of `prompts`:

    | Column | Meaning                                                                        |
    |--------|--------------------------------------------------------------------------------|
    | 0      | kind: 0 click, 1 box, 2 scribble, 3 mask, 4 text, 5 everything                 |
    | 1      | label: 1 positive (object), 0 negative (background)                            |
    | 2, 3   | x, y of a click, of a box's first corner, or of a scribble's first point       |
    | 4, 5   | x, y of a box's last corner (included), or of a scribble's second point        |
    | 6 …    | x, y of a scribble's further points                                            |

    What is not used is -1. x runs to the right from 0 to W - 1, y down from 0 to H - 1, in pixels of
    the original image. There are ``budget // cost of the cheapest kind`` rows (a free kind counts as
    cost 1; should free prompts overflow the table, the newest stay) and 6 columns; where the
    annotator can scribble, 34: a scribble is resampled to 16 points at equal distances.

    ## Info
    At reset: `image`, UInt8[H, W, 3], RGB, read-only, and `case_id`. At reset and at every step:
    `cost`, the cumulative cost in clicks, and `rounds`, the rounds so far as landed, a tuple of
    `simclick.prompts.Round` (with full polylines and texts). With `training=True` also `truth`,
    Bool[H, W], at reset, and `dice` and `iou` of the current mask; never otherwise.

    ## Rewards
    The gain in Dice over the mask before, in [-1, 1]; the empty mask comes first. So the sum of the
    rewards is the Dice of the last mask less that of the empty mask (0, or 1 where the truth is
    empty). The reward is a signal of the truth: an agent under test must not look at it.

    ## Starting state
    The empty mask, and the annotator's first round. With several cases, ``options={"case": i}``
    chooses one; otherwise one is drawn uniformly by `np_random`. ``reset(seed=s)`` keys the draws
    of annotator and noise by ``s`` (0 before any seed) and starts at `repeat`; each reset without a
    seed is the next repeat.

    ## Episode end
    *Terminated*: the mask equals the truth (ignored pixels left out), or the annotator has nothing
    left to correct. *Truncated*: the budget is spent, or cannot pay for the next round. An episode
    that is over at reset (the truth is empty) has ``count = 0``; its first step takes any mask,
    changes nothing, gives reward 0 and says that the episode is over.

    ## Arguments
    ```python
    gymnasium.make("simclick/Segmentation-v0", case=case, protocol="noc-v1")
    ```

    Args:
        case: One `Case`, or several of one size.
        protocol: A `Protocol` or its id.
        level: Noise level, ≥ 0; any, not only those of the protocol.
        repeat: First repeat, from 0.
        training: Whether the info holds the truth.
        render_mode: None, ``"rgb_array"`` or ``"human"``. Pictures are for people: they show the
            truth and where prompts were meant.

    Raises:
        ConfigError: When there is no protocol of that id.
        ValueError: When cases differ in size or an argument is out of range.

    ## Version history
    * v0: Initial version
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium declares it on the instance)
        "render_modes": ["human", "rgb_array"],
        "render_fps": 2,
    }

    def __init__(
        self,
        case: Case | Iterable[Case],
        protocol: Protocol | str = "noc-v1",
        *,
        level: float = 0.0,
        repeat: int = 0,
        training: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode={render_mode!r} must be None, 'human' or 'rgb_array'")
        self._stage = Stage(case, protocol)
        self._series = Series(self._stage, level, repeat)
        self._training = training
        self._episode: Episode | None = None
        self._over = True
        self._window: Window | None = None
        self.render_mode = render_mode
        self.action_space = self._stage.layout.action_space
        self.observation_space = self._stage.layout.observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; see the class for `seed` and ``options["case"]``."""
        options_ = checked_options(options, ("case",))
        super().reset(seed=seed)
        case = self._stage.pick(options_, self.np_random)
        self._episode = episode = self._series.begin(seed, case)
        self._over = False
        if episode.status == "running":
            ask([episode])
        info = {"image": read_only_copy(episode.case.image), "case_id": episode.case.case_id}
        if self._training:
            info["truth"] = read_only_copy(episode.case.truth)
        self._show()
        return self._observation(episode), info | facts(episode, self._training)

    def step(self, action: ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Answer the last round with a mask.

        Args:
            action: Bool[H, W], or whole numbers 0 and 1.

        Raises:
            ResetNeeded: When the episode is over.
            ValueError: When the mask has another shape, dtype or other values; the episode waits.
        """
        episode = self._current()
        if self._over:
            raise ResetNeeded("the episode is over: call reset()")
        mask = as_masks(action, self._stage.layout.size)
        reward = episode.answer(mask) if episode.waiting else 0.0
        if episode.status == "running":
            ask([episode])
        terminated, truncated = episode.status == "terminated", episode.status == "truncated"
        self._over = terminated or truncated
        self._show()
        return self._observation(episode), reward, terminated, truncated, facts(episode, self._training)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture for ``"rgb_array"``; None for ``"human"``, which draws by itself."""
        return frame(self._current()) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_window": None}

    def _current(self) -> Episode:
        if self._episode is None:
            raise ResetNeeded("no episode yet: call reset()")
        return self._episode

    def _observation(self, episode: Episode) -> dict[str, Any]:
        batch = self._stage.layout.observe([episode])
        return {
            "mask": batch["mask"][0],
            "prompts": batch["prompts"][0],
            "count": int(batch["count"][0]),
        }

    def _show(self) -> None:
        if self.render_mode == "human":
            if self._window is None:
                self._window = Window("simclick/Segmentation-v0")
            self._window.show(frame(self._current()))


def frame(episode: Episode) -> NDArray[np.uint8]:
    """Return the picture of an episode: image, truth, mask, and prompts in order. UInt8[h, w, 3]."""
    return draw(episode.case.image, episode.case.truth, episode.mask, episode.rounds)


def read_only_copy(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that cannot be written to: no two resets may share an array."""
    copy: NDArray[Any] = array.copy()
    copy.flags.writeable = False
    return copy
