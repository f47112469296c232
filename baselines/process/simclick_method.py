"""The method's side of simclick's `agent=process`: put this one file beside your method.

It needs Python 3.8 or later, NumPy and msgpack, and nothing of simclick. Import it first, then whatever your
method needs: as soon as it is imported, what your code prints goes to the run's log.

    from simclick_method import Method, serve

    class Mine(Method):
        name = "mine"
        def encode(self, image):            # once per image; uint8[H, W, 3], read-only
            return self.network.features(image)
        def segment(self, request):         # request.features is what encode returned
            return mask                     # bool[H, W], or Answer(masks, scores, memories)

    if __name__ == "__main__":
        serve(Mine)

    simclick run agent=process agent.command='python my_method.py' dataset=phantoms

Points are (x, y) in pixels, x to the right, y down; boxes are (x0, y0, x1, y1), last pixel included.

Part of simclick, Apache-2.0; you may copy it into a repository under any licence.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

__all__ = ["PROTOCOL", "Answer", "Method", "Prompt", "Request", "device", "serve"]

PROTOCOL = 1
"""Version of the messages; the host refuses another."""

_LONGEST_ERROR = 1000
"""Characters of an error that the host is told; the log has all of it."""

_ARRAY = 1
"""Code of msgpack's extension type that holds a NumPy array inside a memory."""


class Prompt:
    """One prompt, where it landed.

    Attributes:
        kind: "click", "box", "scribble", "mask" (the mask is `Request.previous`), "text" or "everything".
        at: (x, y) of a click, (x0, y0, x1, y1) of a box, (x0, y0, x1, y1, ...) of a scribble, else empty.
        positive: Whether it marks the object.
        label: The text of a text prompt, else None.
    """

    def __init__(self, kind: str, at: tuple[int, ...], positive: bool, label: str | None) -> None:
        self.kind = kind
        self.at = at
        self.positive = positive
        self.label = label


class Request:
    """One question: the next mask.

    Attributes:
        features: What `Method.encode` returned for the image.
        size: (height, width) of the image.
        rounds: Prompts so far, by round, oldest first; the last round is new.
        prompts: The same, flat.
        previous: bool[H, W], the mask chosen at the previous step, read-only; None at the first step, and
            where the method says `uses_previous = False` (but with a mask prompt it is there).
        memory: What your answer gave as memory with that mask, or None.
        seed: Seed your randomness with it: the same question must give the same answer.
        samples: How many masks are wanted from a method that samples.
    """

    def __init__(self, features: Any, message: dict[str, Any]) -> None:
        self.features = features
        self.size: tuple[int, int] = (message["size"][0], message["size"][1])
        self.rounds: list[list[Prompt]] = [
            [Prompt(p["kind"], tuple(p["at"]), p["positive"], p["label"]) for p in round_]
            for round_ in message["rounds"]
        ]
        self.prompts = [prompt for round_ in self.rounds for prompt in round_]
        self.previous = _unpacked(message["previous"], self.size)
        self.memory = _remembered(message["memory"])
        self.seed: int = message["seed"]
        self.samples: int = message["samples"]


class Answer:
    """One answer.

    Args:
        masks: K masks, bool[H, W] each, K >= 1.
        scores: K finite numbers, your own estimate of quality, higher is better; zeros if left out.
        memories: K memories: None, numbers, texts, bytes, lists and dicts of them, NumPy arrays. The one of
            the chosen mask comes back in the next request.
    """

    def __init__(
        self,
        masks: Sequence[Any],
        scores: Sequence[float] | None = None,
        memories: Sequence[Any] | None = None,
    ) -> None:
        self.masks = masks
        self.scores = [0.0] * len(masks) if scores is None else [float(score) for score in scores]
        self.memories = memories


class Method:
    """A method. Set the attributes, write `segment`, and `encode` where there is something to encode once.

    The answer to a request must not depend on earlier requests: many episodes share one process, in any
    order, and it may be started anew at any time.
    """

    name = ""
    version = "1"
    accepts: Sequence[str] = ("click",)
    settings: Mapping[str, Any] = {}
    """Every option that changes a mask (JSON-able): part of the digest in every row."""
    family = ""
    """How it works: "promptable", "iterative", "classical", "floor", or empty."""
    parameters: int | None = None
    image_size: int | None = None
    """Longest side of what the network sees, in pixels; None where that is the image itself."""
    training_data = ""
    overlap: Mapping[str, str] = {}
    """What is known of the training data's overlap with a data set, in words, by the data set's name."""
    licence = ""
    weights_sha256: str | None = None
    random_weights = False
    uses_previous = False
    source = ""
    """Paper or page of the method."""
    citation = ""
    """Its papers as BibTeX, for `simclick cite`."""
    batch = 1
    """How many requests `predict` digests well at once."""

    def encode(self, image: Any) -> Any:
        """Return whatever the method keeps of an image; the default keeps the image itself."""
        return image

    def segment(self, request: Request) -> Any:
        """Return the mask, bool[H, W], or an `Answer`."""
        raise NotImplementedError("write segment (or predict)")

    def predict(self, requests: Sequence[Request]) -> Sequence[Any]:
        """Answer several requests; the default asks `segment` for each."""
        return [self.segment(request) for request in requests]

    def info(self) -> dict[str, Any]:
        """Return what the host is told: the fields of simclick's AgentInfo."""
        return {
            "name": self.name,
            "version": self.version,
            "family": self.family,
            "accepts": list(self.accepts),
            "settings": dict(self.settings),
            "parameters": self.parameters,
            "image_size": self.image_size,
            "training_data": self.training_data,
            "overlap": dict(self.overlap),
            "licence": self.licence,
            "weights_sha256": self.weights_sha256,
            "random_weights": self.random_weights,
            "uses_previous": self.uses_previous,
            "source": self.source,
            "citation": self.citation,
        }


def device() -> str:
    """Return the device asked for with agent.device: "auto", "cpu" or "cuda"."""
    return os.environ.get("SIMCLICK_DEVICE", "auto")


def serve(factory: Callable[..., Method]) -> None:
    """Make the method with the options of the run, and answer until the host hangs up.

    Args:
        factory: Your class; it is called with the run's `agent.options` as keywords.
    """
    if _pipes is None:
        sys.exit(
            "this method answers simclick; start it by: simclick run agent=process agent.command='...' ..."
        )
    host = _Host(*_pipes)
    state = _State(factory)
    while True:
        message = host.receive()
        if message is None or message["call"] == "close":
            return
        try:
            answer = state.answer(message)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]}
        answer["n"] = message["n"]
        host.send(answer)


class _State:
    """The method and what it keeps of images."""

    def __init__(self, factory: Callable[..., Method]) -> None:
        self.factory = factory
        self.method: Method | None = None
        self.features: dict[int, Any] = {}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        for number in message.get("release", ()):
            self.features.pop(number, None)
        if message["call"] == "hello":
            return self.hello(message)
        assert self.method is not None
        if message["call"] == "encode":
            for item in message["images"]:
                self.features[item["id"]] = self.method.encode(_image(item))
            return {}
        if message["call"] == "predict":
            requests = [Request(self.features[item["image"]], item) for item in message["requests"]]
            answers = list(self.method.predict(requests))
            if len(answers) != len(requests):
                raise ValueError(f"predict gave {len(answers)} answers for {len(requests)}")
            pairs = zip(answers, requests)  # noqa: B905  (Python 3.8 and 3.9 know no `strict`)
            return {"answers": [_packed(answer, request) for answer, request in pairs]}
        raise ValueError("unknown call {!r}".format(message["call"]))

    def hello(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["protocol"] != PROTOCOL:
            raise ValueError(
                "this simclick speaks version {} of the messages, simclick_method.py version {}".format(
                    message["protocol"], PROTOCOL
                )
            )
        self.method = self.factory(**message["options"])
        if not self.method.name:
            self.method.name = type(self.method).__name__.lower()
        return {"protocol": PROTOCOL, "info": self.method.info(), "batch": int(self.method.batch)}


class _Host:
    """The two pipes: a message is its length, four bytes, big-endian, and that much msgpack."""

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink = sink

    def receive(self) -> dict[str, Any] | None:
        head = self.read(4)
        if head is None:
            return None
        body = self.read(struct.unpack(">I", head)[0])
        if body is None:
            return None
        message: dict[str, Any] = msgpack.unpackb(body)
        return message

    def read(self, size: int) -> bytearray | None:
        found = bytearray()
        while len(found) < size:
            part = os.read(self.source, min(size - len(found), 1 << 20))
            if not part:
                return None
            found += part
        return found

    def send(self, message: dict[str, Any]) -> None:
        body = msgpack.packb(message)
        unsent = memoryview(struct.pack(">I", len(body)) + body)
        while unsent:
            unsent = unsent[os.write(self.sink, unsent) :]


def _image(item: dict[str, Any]) -> Any:
    """Return the image of a message, read-only; from shared memory without a copy."""
    if item.get("data") is not None:
        flat = np.frombuffer(item["data"], dtype=np.uint8)
    else:
        with Path(item["file"]).open("rb") as stream:
            flat = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
    return flat.reshape(item["shape"])


def _unpacked(bits: bytes | None, size: tuple[int, int]) -> Any:
    if bits is None:
        return None
    flat = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size[0] * size[1])
    mask = flat.astype(np.bool_).reshape(size)
    mask.flags.writeable = False
    return mask


def _packed(answer: Any, request: Request) -> dict[str, Any]:
    """Return an answer as a message, checked here, where the method's author reads the log."""
    if not isinstance(answer, Answer):
        answer = Answer([answer])
    masks = [_mask(mask, request.size) for mask in answer.masks]
    if not masks:
        raise ValueError("an answer holds one mask or more")
    memories = answer.memories
    for what, given in (("scores", answer.scores), ("memories", memories)):
        if given is not None and len(given) != len(masks):
            raise ValueError(f"{len(masks)} masks came with {len(given)} {what}")
    return {
        "shape": [len(masks), request.size[0], request.size[1]],
        "masks": np.packbits(np.stack(masks).reshape(-1)).tobytes(),
        "scores": answer.scores,
        "memories": None if memories is None else [_memorised(memory) for memory in memories],
    }


def _mask(mask: Any, size: tuple[int, int]) -> Any:
    found = np.asarray(mask)
    if found.shape != size:
        raise ValueError(f"a mask is {list(found.shape)}, the image {list(size)}")
    if found.dtype != np.bool_:
        if not np.isin(found, (0, 1)).all():
            raise ValueError(f"a mask must hold True and False (or 0 and 1), not other {found.dtype}")
        found = found.astype(np.bool_)
    return found


def _memorised(memory: Any) -> bytes | None:
    if memory is None:
        return None
    packed: bytes = msgpack.packb(memory, default=_array_out)
    return packed


def _remembered(packed: bytes | None) -> Any:
    return None if packed is None else msgpack.unpackb(packed, ext_hook=_array_in, strict_map_key=False)


def _array_out(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError(f"a memory cannot hold a {type(value).__name__}")
    head = msgpack.packb([array.dtype.str, list(array.shape)])
    return msgpack.ExtType(_ARRAY, struct.pack(">I", len(head)) + head + array.tobytes())


def _array_in(code: int, data: bytes) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension type {code}")
    end = 4 + struct.unpack(">I", data[:4])[0]
    dtype, shape = msgpack.unpackb(data[4:end])
    return np.frombuffer(data, dtype=np.dtype(dtype), offset=end).reshape(shape).copy()


def _take_pipes() -> tuple[int, int] | None:
    """Keep the host's pipes for ourselves, so that a stray print cannot break a message."""
    if os.environ.pop("SIMCLICK_PROCESS", None) is None:
        return None
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a line is in the log when it is printed, also before a crash
            stream.reconfigure(line_buffering=True)
    return source, sink


_pipes = _take_pipes()
