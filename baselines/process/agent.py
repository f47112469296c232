"""`agent=process`: a method in a process of its own behind the ordinary contract of an agent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing import util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.agent_info import check_info, refuse_shipped_name
from simclick.baselines.options import number, whole
from simclick.baselines.process import child, wire
from simclick.baselines.process import preparing as prepared
from simclick.baselines.process.child import Child, ChildError, Start
from simclick.baselines.process.guard import guard_memory
from simclick.baselines.process.identity import named_command, plain_paths, portable, public_options
from simclick.baselines.process.log import Log
from simclick.baselines.process.place import Place
from simclick.errors import AgentError, ConfigError
from simclick.texts import plain

__all__ = ["ProcessAgent", "ProcessEmbedding"]

_COMMAND, _OPTIONS, _METHOD = "agent.command", "agent.options", "method"
"""Under these names the settings hold which program and files run, what the user asked for, and what the
method says of itself: it cannot write over the others."""


class ProcessEmbedding(Embedding):
    """A handle on an image that the method keeps under a number.

    Attributes:
        number: What the method knows it by; never used again.
        life: Which start of the method encoded it; another has to encode it again.
    """

    def __init__(self, image: NDArray[np.uint8], number: int, life: int, released: list[int]) -> None:
        super().__init__(image, number)
        self.number = number
        self.life = life
        self._released = released

    def release(self) -> None:
        """Let go; the method is told with the next question."""
        if self.image is not None:
            self._released.append(self.number)
        super().release()


class ProcessAgent(Agent):
    """Asks a method that runs in its own process, environment, container or language.

    The method gets images, prompts as they landed, its own last mask and memory. A call that fails raises
    `AgentError`, so that the engine writes a failure row and goes on; a method that ended, hung or wrote
    nonsense is killed with all its children, and started again when it is asked next, with its images encoded
    anew. See ``docs/agents-out-of-process.md``.

    Args:
        command: Program and arguments, split as a shell would; no shell runs.
        folder: Working directory of the method; ours if None.
        options: Keywords for the method; part of its settings, and so of its digest. There, as in the
            command, a file is known by its name and its content, any other path by its last part.
        environment: Variables to add. Of ours it gets only those that programs need to run.
        device: ``auto``, ``cpu`` or ``cuda``: told to the method.
        threads: Numeric threads, told to the common libraries.
        timeout: Seconds for each image or request of a call.
        start_timeout: Seconds from start to the first answer.
        memory_gb: Limit of address space in GB, or None. A method on CUDA reserves far more than it uses.
        limit_mb: Largest answer in MB.
        log_mb: Largest log of standard error in MB.
        shared: Pass images through shared memory; False sends them through the pipe (containers, other
            hosts).
        shared_folder: Where shared images lie; by default memory where there is a memory file system.
        hide: Folders out of the method's reach (Linux with Landlock). All else it may then read and run, and
            write nothing but a folder of its own.
        write: With `hide`: further folders that it may write, such as a cache.
        patience: After so many failures without one answer between them the method is not started again.

    Raises:
        ConfigError: On a bad option.
        AgentError: When the method does not start or says what no agent may.
    """

    def __init__(
        self,
        command: str | Sequence[str] | None = None,
        *,
        folder: str | None = None,
        options: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        device: str = "auto",
        threads: int = 1,
        timeout: float = 60.0,
        start_timeout: float = 300.0,
        memory_gb: float | None = None,
        limit_mb: float = 256.0,
        log_mb: float = 1.0,
        shared: bool = True,
        shared_folder: str | None = None,
        hide: Sequence[str] = (),
        write: Sequence[str] = (),
        patience: int = 10,
    ) -> None:
        prepared.need_posix()
        if device not in {"auto", "cpu", "cuda"}:
            raise ConfigError(f"agent.device={device}: must be auto, cpu or cuda")
        self._options = dict(options or {})
        self._timeout = number("timeout", timeout, 0.001)
        self._start_timeout = number("start_timeout", start_timeout, 0.001)
        self._patience = whole("patience", patience, 1)
        self._shared = shared
        self._log = Log(int(number("log_mb", log_mb, 0.001, 1024) * 1e6))
        hidden = prepared.hidden_folders(hide)
        self._start = Start(
            command=prepared.command_words(command),
            folder=prepared.working_folder(folder),
            environment=child.environment(
                environment or {}, os.environ, prepared.told(device, whole("threads", threads, 1))
            ),
            memory=None if memory_gb is None else int(number("memory_gb", memory_gb, 0.001) * 1e9),
            hide=hidden,
            write=prepared.writable_folders(write, hidden),
            read=(),
            limit=int(number("limit_mb", limit_mb, 0.001, 4000) * 1e6),
        )
        self._shared_folder = shared_folder
        self._child: Child | None = None
        self._closed = False
        self._life = 0
        self._asked = 0
        self._numbers = 0
        self._failures = 0
        self._why = ""
        self._released: list[int] = []
        self._holder: list[Child] = []
        self._places: list[Place] = []
        guard_memory()
        # Also in a worker process, which ends without the usual calls at exit.
        self._finish = util.Finalize(self, _finish, (self._places, self._log, self._holder), exitpriority=10)
        try:
            self.info, self.batch = self._begin()
        except AgentError as error:
            self.close()
            command = plain(" ".join(named_command(self._start.command, self._start.folder)), 200)
            raise AgentError(f"agent.command={command}: {error}") from None
        except BaseException:
            self.close()
            raise

    @classmethod
    def public_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options without this machine's paths and without values of environment variables."""
        command = options.get("command")
        return public_options(options, child.words(command) if command else ())

    def log_to(self, folder: Path) -> None:
        """Keep the method's standard error in ``logs/agent-PID.log`` of the run's folder."""
        (folder / "logs").mkdir(exist_ok=True)
        self._log.write_to(folder / "logs" / f"agent-{os.getpid()}.log")

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Embedding]:
        """Let the method encode images, once each."""
        embeddings = []
        for image in images:
            self._numbers += 1
            embeddings.append(ProcessEmbedding(image, self._numbers, 0, self._released))
        try:
            self._ready()
            self._encode(embeddings)
        except BaseException:
            for embedding in embeddings:
                embedding.release()
            raise
        return embeddings

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        """Ask the method; images that this start of it has not seen are encoded first."""
        self._ready()
        embeddings = [_own(request.embedding) for request in requests]
        self._encode(list({e.number: e for e in embeddings if e.life != self._life}.values()))
        messages = [
            wire.request_message(request, embedding.number, self.info.uses_previous)
            for request, embedding in zip(requests, embeddings, strict=True)
        ]
        answer = self._ask({"call": "predict", "requests": messages}, self._timeout * max(1, len(messages)))
        predictions = wire.read_answers(answer, requests)
        self._failures = 0
        return predictions

    def close(self) -> None:
        """End the method and remove what was shared with it."""
        self._closed = True
        self._child = None
        self._finish()

    def _begin(self) -> tuple[AgentInfo, int]:
        """Start the process, in a new place, and greet it."""
        self._life += 1
        self._released.clear()
        self._leave()
        self._places.append(self._place())
        self._child = Child(prepared.in_place(self._start, self._places[0]), self._log)
        self._holder[:] = [self._child]
        hello = {"call": "hello", "protocol": wire.PROTOCOL, "options": self._options}
        info, batch = wire.read_hello(self._ask(hello, self._start_timeout))
        return self._named(info), batch

    def _named(self, info: AgentInfo) -> AgentInfo:
        """Return the information with what the run adds to its settings: options, and which files run.

        No path of this machine is kept in them: they travel into every row's digest and into submissions.
        """
        folder = self._start.folder
        settings = {
            _COMMAND: named_command(self._start.command, folder),
            _OPTIONS: portable(self._options, folder),
            _METHOD: plain_paths(info.settings),
        }
        info = replace(info, settings=settings)
        try:
            check_info(info)  # options are the user's, and as many
            refuse_shipped_name(info.name)
        except ValueError as error:
            raise AgentError(f"the method's {error}") from None
        return info

    def _ready(self) -> None:
        """Start the method again if it is gone.

        Raises:
            AgentError: When it does not start, comes back as another, has failed too often, or was closed.
        """
        if self._closed:
            raise AgentError("the agent was closed")
        if self._child is not None and self._child.alive:
            return
        if self._failures >= self._patience:
            raise AgentError(f"the method failed {self._failures} times in a row; the last time: {self._why}")
        self._drop()
        self._log.note("starting the method again")
        try:
            info, _ = self._begin()
            if info.digest != self.info.digest:
                raise ChildError("the method came back with another digest")
        except AgentError as error:
            self._fail(error)
            raise

    def _encode(self, embeddings: Sequence[ProcessEmbedding]) -> None:
        if not embeddings:
            return
        items: list[dict[str, Any]] = []
        files: list[str] = []
        place = self._places[0]
        try:
            for embedding in embeddings:
                items.append(self._image(embedding, files))
            self._ask({"call": "encode", "images": items}, self._timeout * len(items))
        except OSError as error:
            words = f"an image cannot be shared with the method: {error.strerror or error}"
            self._fail(ChildError(words))
            raise AgentError(words) from None
        finally:
            for file in files:
                place.take_back(file)  # the method's mapping of it stays
        for embedding in embeddings:
            embedding.life = self._life

    def _image(self, embedding: ProcessEmbedding, files: list[str]) -> dict[str, Any]:
        """Return the message about an image; a file that it is written to joins `files`.

        Raises:
            OSError: When the file cannot be made.
        """
        image = embedding.image
        if image is None:
            raise ValueError("the embedding was released before it was used")
        item: dict[str, Any] = {"id": embedding.number, "shape": list(image.shape)}
        if not self._shared:
            return {**item, "data": image.tobytes()}
        place = self._places[0]
        files.append(place.put(np.ascontiguousarray(image).data))
        return {**item, "file": str(place.images / files[-1])}

    def _ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Ask one question and return the answer to it."""
        assert self._child is not None
        self._asked += 1
        message |= {"n": self._asked, "release": self._released[:]}
        try:
            body = self._child.exchange(wire.frame(message), seconds)
            answer = _understood(body, self._asked)
        except ChildError as error:
            self._fail(error)
            raise AgentError(str(error)) from None
        del self._released[: len(message["release"])]
        if (words := wire.raised(answer)) is not None:
            raise AgentError(f"the method raised {words}")
        return answer

    def _fail(self, error: AgentError) -> None:
        """Note that the method has to be started again."""
        self._failures += 1
        self._why = str(error)
        self._log.note(self._why)
        self._drop()

    def _drop(self) -> None:
        if self._child is not None:
            self._child.stop(grace=0.0)
        self._child = None
        self._holder.clear()

    def _place(self) -> Place:
        try:
            return Place(self._shared_folder)
        except ConfigError as error:
            if self._life == 1:
                raise
            raise AgentError(str(error)) from None  # a run under way goes on with failure rows

    def _leave(self) -> None:
        """Remove what was shared with the last start of the method."""
        while self._places:
            self._places.pop().remove()


def _finish(places: list[Place], log: Log, holder: list[Child]) -> None:
    for process in holder:
        process.stop()
    holder.clear()
    log.close()
    while places:
        places.pop().remove()


def _understood(body: bytearray, number: int) -> dict[str, Any]:
    try:
        return wire.read_message(body, number)
    except AgentError as error:
        raise ChildError(str(error)) from None


def _own(embedding: Embedding) -> ProcessEmbedding:
    if not isinstance(embedding, ProcessEmbedding):
        raise TypeError("the embedding is not one of this agent's")
    return embedding
