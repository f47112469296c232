"""A method in a process of its own, which gets images, prompts and previous masks and nothing else.

It plays the method's side of `simclick.harness.lockstep`: what fails an episode there comes back as an
`AgentError` here, in the same places (the encoder, the answer, its shape). What it prints goes into a log of
its own (`simclick.leaderboard.captured`), never to the verifier's output.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Embedding, Prediction, Request
from simclick.errors import AgentError, ConfigError, SimclickError
from simclick.harness.specs import AgentSpec
from simclick.leaderboard.captured import Captured, speak_into
from simclick.prompts import Prompt, Round
from simclick.texts import plain

__all__ = ["TOLD", "GoneError", "Remote"]

TOLD = ("name", "accepts", "parameters", "uses_truth", "uses_previous")
"""What an agent says of itself beside its digest."""

_RAISED = (Exception, SystemExit, KeyboardInterrupt)
"""What counts as the method's failure: a process that ends with it would print it as it is."""


class GoneError(SimclickError):
    """The method's process ended or gave no answer in time: it can be asked nothing more."""


class Remote:
    """The method in its own process; use it as a context.

    Attributes:
        digest: Digest of the agent.
        told: What else it says of itself, by name (`TOLD`).

    Args:
        spec: The method.
        seconds: The most that one answer may take.

    Raises:
        SimclickError: On entry, when the method cannot be made.
        ConfigError: On entry, when it uses the truth, which it would not get.
    """

    def __init__(self, spec: AgentSpec, seconds: float) -> None:
        self._spec = spec
        self._seconds = seconds
        self._image: Any = None

    def __enter__(self) -> Remote:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._said = Captured()
        arguments = (there, self._said.there, self._spec)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        there.close()
        self._said.listen()
        try:
            hello = self._receive()
            if "error" in hello:
                raise SimclickError(plain(hello["error"]))
            if hello["told"]["uses_truth"]:
                raise ConfigError(
                    f"--rerun agent={plain(self._spec.name, 80)}: a method that uses the truth cannot be run "
                    "again without it: leave --rerun out"
                )
        except GoneError as error:
            self.__exit__()
            raise GoneError(f"{error}{self.last_words}") from None
        except SimclickError:
            self.__exit__()
            raise
        self.digest = str(hello["digest"])
        self.told = dict(hello["told"])
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()
        self._said.close()

    @property
    def last_words(self) -> str:
        """What it printed last, to be added to a line that says how it failed; nothing if it was silent.

        Whole only after the context: before, some of it may be on its way.
        """
        words = self._said.last_words()
        return f"; its last words: {words}" if words else ""

    def answer(
        self,
        image: NDArray[np.uint8],
        rounds: Sequence[Any],
        previous: NDArray[np.bool_] | None,
        chosen: int | None,
        seed: int,
    ) -> Prediction:
        """Return the method's answer to the last of some rounds.

        Args:
            image: UInt8[H, W, 3].
            rounds: The rounds so far: per prompt kind, places, label and text.
            previous: Bool[H, W], the mask that was chosen last, or None.
            chosen: Which of the last answer's candidates that was, or None.
            seed: The seed of this answer.

        Raises:
            AgentError: When the method fails.
            GoneError: When its process ended, or gives no answer in time.
        """
        h, w = image.shape[:2]
        if self._image is not image:
            self._send(json.dumps({"image": [h, w]}).encode())
            self._send(image.tobytes())
            self._image = image
        head = {"rounds": list(rounds), "seed": seed, "chosen": chosen, "previous": previous is not None}
        self._send(json.dumps(head).encode())
        if previous is not None:
            self._send(np.packbits(previous).tobytes())
        reply = self._receive()
        if "error" in reply:
            raise AgentError(plain(reply["error"]))
        bits = np.frombuffer(self._bytes(), dtype=np.uint8)
        masks = np.unpackbits(bits, count=reply["n"] * h * w).reshape(reply["n"], h, w).astype(np.bool_)
        return Prediction(masks, reply["scores"])

    def _send(self, content: bytes) -> None:
        try:
            self._pipe.send_bytes(content)
        except OSError:
            raise GoneError("the method's process ended") from None

    def _receive(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._bytes())
        return content

    def _bytes(self) -> bytes:
        try:
            if not self._pipe.poll(self._seconds):
                raise GoneError(f"no answer within {self._seconds:g} s")
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise GoneError("the method's process ended") from None


def _serve(pipe: Connection, words: Connection, spec: AgentSpec) -> None:
    """Answer requests until the pipe closes. Runs in the method's process.

    Whatever still escapes ends the process without a word.
    """
    speak_into(words)
    with suppress(BaseException):
        _answer_all(pipe, spec)


def _answer_all(pipe: Connection, spec: AgentSpec) -> None:
    from simclick.harness.engine import numeric_threads

    def reply(content: Mapping[str, Any]) -> None:
        pipe.send_bytes(json.dumps(content).encode())

    try:
        agent = spec.make()
    except SimclickError as error:
        reply({"error": str(error)})
        return
    except _RAISED as error:
        reply({"error": f"the method cannot be made: {type(error).__name__}: {error}"[:500]})
        return
    told = {name: getattr(agent.info, name) for name in TOLD}
    reply({"digest": agent.info.digest, "told": {**told, "accepts": sorted(agent.info.accepts)}})
    served = _Served(agent)
    with numeric_threads(1):
        while True:
            try:
                head = json.loads(pipe.recv_bytes())
                if "image" in head:
                    served.encode(pipe.recv_bytes(), (int(head["image"][0]), int(head["image"][1])))
                    continue
                previous = pipe.recv_bytes() if head["previous"] else None
            except EOFError:
                return
            try:
                masks, scores = served.answer(head, previous)
            except _RAISED as error:
                reply({"error": f"{type(error).__name__}: {error}"[:500]})
                continue
            reply({"n": len(masks), "scores": scores})
            pipe.send_bytes(np.packbits(masks).tobytes())


class _Served:
    """The method with its last image and memories."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._size = (0, 0)
        self._embedding: Embedding | None = None
        self._encode_error = ""
        self._memories: Any = None

    def encode(self, pixels: bytes, size: tuple[int, int]) -> None:
        """Take an image; an encoder that fails fails every answer on it, as in a run."""
        self._size, self._embedding, self._memories = size, None, None
        image = np.frombuffer(pixels, dtype=np.uint8).reshape(*size, 3)
        try:
            self._embedding = self._agent.encode([image])[0]
        except _RAISED as error:
            self._encode_error = f"encode: {type(error).__name__}: {error}"

    def answer(
        self, head: Mapping[str, Any], previous: bytes | None
    ) -> tuple[NDArray[np.bool_], list[float]]:
        """Return masks and scores; raises whatever the method raises, and where its answer is no answer."""
        from simclick.harness.select import candidate_masks

        if self._embedding is None:
            raise AgentError(self._encode_error)
        chosen = head["chosen"]
        request = Request(
            self._embedding,
            self._size,
            tuple(Round(tuple(_prompt(p) for p in round_)) for round_ in head["rounds"]),
            None if previous is None else _mask(previous, self._size),
            self._memories[chosen] if self._memories is not None and chosen is not None else None,
            head["seed"],
        )
        answers = self._agent.predict([request])
        if len(answers) != 1:
            raise AgentError(f"predict returned {len(answers)} predictions for 1 request")
        masks = candidate_masks(answers[0], self._size)
        memories = answers[0].memories
        if memories is not None and len(memories) != len(masks):
            raise AgentError(f"{len(masks)} candidates came with {len(memories)} memories")
        self._memories = memories
        return masks, [float(score) for score in answers[0].scores]


def _mask(bits: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    flat = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size[0] * size[1])
    mask = flat.reshape(size).astype(np.bool_)
    mask.flags.writeable = False
    return mask


def _prompt(values: Sequence[Any]) -> Prompt:
    kind, landed, positive, label = values
    at = tuple(int(v) for v in landed)
    return Prompt(kind, at, positive, at, positive, label)
