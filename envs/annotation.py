"""``simclick/Annotation-v0``: the roles swapped, so that an annotator can be learned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import ArrayLike, NDArray

from simclick import registry
from simclick.agent import Agent, Embedding, Request
from simclick.case import Case
from simclick.envs.segmentation import frame, read_only_copy
from simclick.envs.stage import Series, Stage, checked_options
from simclick.envs.window import Window
from simclick.episode import Episode
from simclick.errors import ConfigError
from simclick.prompts import Round, click
from simclick.protocol import Protocol

__all__ = ["AnnotationEnv"]


class AnnotationEnv(gym.Env[dict[str, Any], ArrayLike]):
    """Place corrective clicks; a fixed agent answers each with a mask.

    ## Description
    The environment holds one image, its ground truth and an agent. The action is a click; the agent sees the
    image and the clicks as they landed, never the truth. Noise, budget, costs and the choice among the
    agent's masks come from a protocol, whose annotator is not asked. The rules are those of
    `simclick.episode.Episode`; the environment adds none.

    ## Action space
    ``Box(0, 1, (3,), float32)``: x and y as fractions of the image and the label, positive from 0.5 on. The
    click is at pixel ``(min(floor(x W), W - 1), min(floor(y H), H - 1))``. Every click is legal: also one
    where nothing is wrong, or with the wrong label; it costs like any other.

    ## Observation space
    A ``Dict``, made fresh at every step: ``mask`` and ``truth``, ``MultiBinary((H, W))``, Int8 (an annotator
    looks at the truth: where the two differ is the error; ignored pixels are in ``info["ignore"]`` at reset
    if there are any); ``cost``, ``Discrete(budget + 1)``, clicks spent.

    ## Info
    At reset: ``image``, UInt8[H, W, 3], read-only, and ``case_id``. Always: ``dice``, ``iou``, ``rounds``,
    the rounds so far with what was meant and where it landed, and ``error``, why the agent failed, or None.

    ## Rewards
    The gain in Dice over the mask before: what ``Segmentation-v0`` gives to the agent for the same rounds.

    ## Starting state
    The empty mask. Several cases, ``options={"case": i}``, seeds and repeats are as in ``Segmentation-v0``.

    ## Episode end
    *Terminated*: the mask equals the truth (ignored pixels left out), or the agent failed: its Dice is 0 from
    there on. *Truncated*: the budget is spent. An episode that is over at reset (the truth is empty) takes
    one step that changes nothing.

    Args:
        case: One `Case`, or several of one size.
        agent: An agent, or the name of a registered one (with its default options).
        protocol: A `Protocol` or its id.
        level: Noise level, ≥ 0.
        repeat: First repeat, from 0.
        render_mode: None, ``"rgb_array"`` or ``"human"``.

    Raises:
        ConfigError: When there is no protocol or agent of that name, or the agent takes no clicks.
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
        agent: Agent | str = "disc",
        protocol: Protocol | str = "noc-v1",
        *,
        level: float = 0.0,
        repeat: int = 0,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode={render_mode!r} must be None, 'human' or 'rgb_array'")
        self.agent: Agent = registry.agents.load(agent)() if isinstance(agent, str) else agent
        if "click" not in self.agent.info.accepts:
            raise ConfigError(f"agent {self.agent.info.name!r} takes no clicks: nothing to learn here")
        self._stage = Stage(case, protocol)
        self._series = Series(self._stage, level, repeat)
        self._episode: Episode | None = None
        self._embedding: Embedding | None = None
        self._memory: Any = None
        self._over = True
        self._window: Window | None = None
        self.render_mode = render_mode
        size = self._stage.layout.size
        self.action_space = spaces.Box(0.0, 1.0, (3,), np.float32)
        self.observation_space = spaces.Dict(
            {
                "mask": spaces.MultiBinary(size),
                "truth": spaces.MultiBinary(size),
                "cost": spaces.Discrete(self._stage.protocol.budget + 1),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; see the class for `seed` and ``options["case"]``."""
        options_ = checked_options(options, ("case",))
        super().reset(seed=seed)
        case = self._stage.pick(options_, self.np_random)
        self._episode = episode = self._series.begin(seed, case)
        self._release()
        self._over = False
        info = {"image": read_only_copy(episode.case.image), "case_id": episode.case.case_id}
        if episode.case.ignore is not None:
            info["ignore"] = read_only_copy(episode.case.ignore)
        self._show()
        return self._observation(episode), info | self._facts(episode)

    def step(self, action: ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Click.

        Args:
            action: Three numbers from 0 to 1: x, y, label.

        Raises:
            ResetNeeded: When the episode is over.
            ValueError: When the action is anything else; the episode waits.
        """
        episode = self._current()
        if self._over:
            raise ResetNeeded("the episode is over: call reset()")
        meant = Round((click(*self._place(action)),))
        reward = 0.0
        if episode.status == "running" and episode.offer(meant) is not None:
            reward = self._answer(episode)
        terminated = episode.status in ("terminated", "failed")
        truncated = episode.status == "truncated"
        self._over = terminated or truncated
        self._show()
        return self._observation(episode), reward, terminated, truncated, self._facts(episode)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture for ``"rgb_array"``; None for ``"human"``, which draws by itself."""
        return frame(self._current()) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one, and let go of the encoded image."""
        self._release()
        if self._window is not None:
            self._window.close()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_window": None}

    def _answer(self, episode: Episode) -> float:
        """Ask the agent; return the gain in Dice, a loss where it fails."""
        # Selection lies with the harness, above the environments: only this one has an agent.
        from simclick.harness.select import select

        before = episode.dice
        try:
            if self._embedding is None:
                (self._embedding,) = self.agent.encode([episode.case.image])
            request = Request(
                embedding=self._embedding,
                size=episode.case.size,
                rounds=tuple(round_.seen() for round_ in episode.rounds),
                previous=episode.mask if episode.step > 1 else None,
                memory=self._memory,
                seed=episode.draws().agent_seed(),
                truth=episode.case.truth if self.agent.info.uses_truth else None,
            )
            (answer,) = self.agent.predict([request])
            chosen = select(answer, self._stage.protocol.select, episode.ground)
        except (Exception, SystemExit) as error:
            episode.fail(f"{type(error).__name__}: {' '.join(str(error).split())}")
            return -before
        self._memory = chosen.memory
        return episode.answer(chosen.mask, chosen.overlap)

    def _place(self, action: ArrayLike) -> tuple[int, int, bool]:
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (3,) or not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"the action must be three numbers from 0 to 1, not {np.asarray(action)!r}")
        height, width = self._stage.layout.size
        x, y = min(int(values[0] * width), width - 1), min(int(values[1] * height), height - 1)
        return x, y, bool(values[2] >= 0.5)

    def _current(self) -> Episode:
        if self._episode is None:
            raise ResetNeeded("no episode yet: call reset()")
        return self._episode

    def _observation(self, episode: Episode) -> dict[str, Any]:
        mask, truth = episode.mask.astype(np.int8), episode.case.truth.astype(np.int8)
        return {"mask": mask, "truth": truth, "cost": episode.cost}

    def _facts(self, episode: Episode) -> dict[str, Any]:
        return {
            "dice": episode.dice,
            "iou": episode.iou,
            "rounds": tuple(episode.rounds),
            "error": episode.error,
        }

    def _release(self) -> None:
        if self._embedding is not None:
            self._embedding.release()
        self._embedding = self._memory = None

    def _show(self) -> None:
        if self.render_mode == "human":
            if self._window is None:
                self._window = Window("simclick/Annotation-v0")
            self._window.show(frame(self._current()))
