"""The messages between host and method, and a strict reader: a method's bytes are never trusted.

A message is its length in four bytes, big-endian, and that much msgpack: a map. The host asks, the method
answers each question once, in order, with the same ``n``:

* ``hello``: ``protocol``, ``options`` → ``protocol``, ``info`` (fields of `AgentInfo`), ``batch``.
* ``encode``: ``images``, each ``id``, ``shape`` [H, W, 3] and ``file`` (uint8, row by row, to be mapped
  before the answer: it is removed then) or ``data`` → nothing.
* ``predict``: ``requests``, each ``image`` (an id), ``size`` [H, W], ``rounds`` (lists of ``kind``, ``at``,
  ``positive``, ``label``), ``previous`` (bits, or nil), ``memory`` (bytes, or nil), ``seed``, ``samples`` →
  ``answers``, each ``shape`` [K, H, W], ``masks`` (bits), ``scores``, ``memories`` (K times bytes or nil; or
  nil).
* ``close``: no answer.

Every question may carry ``release``: ids that will not be asked about again. Any answer may be ``error``: a
text. Bits are K masks one after another, row by row, eight to a byte, the first in the highest bit, padded
once at the end.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from simclick.agent import AgentInfo, Prediction, Request
from simclick.agent_info import check_info
from simclick.baselines.process import bounds
from simclick.errors import AgentError
from simclick.texts import plain

__all__ = [
    "HEAD",
    "LARGEST_MEMORY",
    "MEMORY_PER_PIXEL",
    "PROTOCOL",
    "frame",
    "frame_length",
    "raised",
    "read_answers",
    "read_hello",
    "read_message",
    "request_message",
]

PROTOCOL = 1
HEAD = 4
"""Bytes of the length before a message."""

LARGEST_MEMORY, MEMORY_PER_PIXEL = 16 << 20, 8
"""Bytes that one memory may have: so many, and for each pixel of the image so many more."""
_MOST_CANDIDATES = 1024
_LONGEST_ERROR = 1000


def frame(message: Mapping[str, Any]) -> bytes:
    """Return a message as it goes over the pipe."""
    body: bytes = msgpack.packb(dict(message))
    return struct.pack(">I", len(body)) + body


def frame_length(head: bytes | bytearray, limit: int) -> int:
    """Return the length that a message announces.

    Raises:
        AgentError: When it is beyond the limit; nothing was allocated for it.
    """
    length = int(struct.unpack(">I", head)[0])
    if length > limit:
        raise AgentError(
            f"the method announced a message of {length} bytes, more than agent.limit_mb allows "
            f"({limit}); what it writes on standard output must be messages alone"
        )
    return length


def read_message(body: bytes | bytearray, number: int) -> dict[str, Any]:
    """Return the answer to question `number`.

    Nothing is made of the bytes before `bounds.measure` has gone over them: no list, text or depth beyond its
    bounds is ever allocated.

    Raises:
        AgentError: When it is not one map of msgpack within the bounds, or answers another question.
    """
    try:
        bounds.measure(body)
        message = msgpack.unpackb(
            body,
            strict_map_key=True,
            max_str_len=bounds.LONGEST_TEXT,
            max_array_len=bounds.LONGEST_LIST,
            max_map_len=bounds.LONGEST_MAP,
            max_bin_len=len(body),
            max_ext_len=0,
        )
    except Exception as error:
        words = plain(f"{type(error).__name__}: {error}")
        raise AgentError(f"the method's answer is not msgpack within its bounds: {words}") from None
    if not isinstance(message, dict):
        raise AgentError(f"the method's answer is a {type(message).__name__}, not a map")
    if message.get("n") != number:
        raise AgentError("the method answered another question than the one that was asked")
    return message


def raised(message: Mapping[str, Any]) -> str | None:
    """Return the error that an answer reports, as one printable line, or None."""
    error = message.get("error")
    return None if error is None else plain(error, _LONGEST_ERROR)


def read_hello(message: Mapping[str, Any]) -> tuple[AgentInfo, int]:
    """Return what the method says it is, and its batch size.

    Raises:
        AgentError: When the version is another, a field is unknown or not what `check_info` demands, or it
            asks for the truth.
    """
    if message.get("protocol") != PROTOCOL:
        raise AgentError(
            f"the method speaks version {plain(repr(message.get('protocol')), 100)} of the messages, "
            f"not {PROTOCOL}"
        )
    content = message.get("info")
    if not isinstance(content, dict):
        raise AgentError("the method's hello has no `info`")
    known = {field.name for field in dataclasses.fields(AgentInfo)}
    strange = [name for name in content if name not in known]
    if strange:
        raise AgentError(f"the method's info has an unknown field {plain(repr(strange[0]), 100)}")
    if "name" not in content:
        raise AgentError("the method's info.name is missing")
    if content.get("uses_truth"):
        raise AgentError("the method asks for the truth: the truth never leaves this process")
    try:
        info = AgentInfo(**{**content, "accepts": _kinds(content.get("accepts", ["click"]))})
        check_info(info)
    except ValueError as error:
        raise AgentError(f"the method's {error}") from None
    batch = message.get("batch", 1)
    if type(batch) is not int or not 1 <= batch <= 4096:
        raise AgentError(
            f"the method's batch must be a whole number from 1 to 4096, not {plain(repr(batch), 100)}"
        )
    return info, batch


def _kinds(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value):
        raise ValueError("info.accepts must be a list of texts")
    return frozenset(value)


def request_message(request: Request, image: int, with_previous: bool) -> dict[str, Any]:
    """Return a request as the method sees it: where prompts landed, never what was meant, never the truth.

    Args:
        request: The question.
        image: The number that the method knows the image by.
        with_previous: Whether the method uses the previous mask; with a mask prompt it gets it in any case.
    """
    handed = any(prompt.kind == "mask" for prompt in request.prompts)
    previous = request.previous if with_previous or handed else None
    return {
        "image": image,
        "size": list(request.size),
        "rounds": [
            [
                {"kind": p.kind, "at": list(p.landed), "positive": p.positive, "label": p.label}
                for p in round_.prompts
            ]
            for round_ in request.rounds
        ],
        "previous": None if previous is None else np.packbits(previous).tobytes(),
        "memory": request.memory,
        "seed": int(request.seed),
        "samples": int(request.samples),
    }


def read_answers(message: Mapping[str, Any], requests: Sequence[Request]) -> list[Prediction]:
    """Return the predictions of an answer.

    Raises:
        AgentError: When one of them is not what was asked for.
    """
    answers = message.get("answers")
    if not isinstance(answers, list) or len(answers) != len(requests):
        count = len(answers) if isinstance(answers, list) else "no"
        raise AgentError(f"the method gave {count} answers to {len(requests)} requests")
    return [_prediction(answer, request.size) for answer, request in zip(answers, requests, strict=True)]


def _prediction(answer: Any, size: tuple[int, int]) -> Prediction:
    if not isinstance(answer, dict):
        raise AgentError(f"an answer is a {type(answer).__name__}, not a map")
    masks = _masks(answer.get("shape"), answer.get("masks"), size)
    memories = _memories(answer.get("memories"), size)
    scores = answer.get("scores")
    if not isinstance(scores, list) or any(type(s) not in (int, float) for s in scores):
        raise AgentError("an answer's scores must be a list of numbers")
    return Prediction(masks, scores, memories)


def _memories(memories: Any, size: tuple[int, int]) -> Any:
    if memories is None:
        return None
    if not isinstance(memories, list) or not all(m is None or isinstance(m, bytes) for m in memories):
        raise AgentError("an answer's memories must be a list of bytes or nil")
    most = LARGEST_MEMORY + MEMORY_PER_PIXEL * size[0] * size[1]
    longest = max((len(memory) for memory in memories if memory is not None), default=0)
    if longest > most:
        raise AgentError(f"a memory has {longest} bytes; for this image it may have {most}")
    return memories


def _masks(shape: Any, bits: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    if not isinstance(shape, list) or len(shape) != 3 or any(type(n) is not int for n in shape):
        raise AgentError("an answer's shape must be three whole numbers")
    height, width = size
    if shape[1:] != [height, width] or not 1 <= shape[0] <= _MOST_CANDIDATES:
        raise AgentError(
            f"candidates are {shape}, not [K, {height}, {width}] with K from 1 to {_MOST_CANDIDATES}"
        )
    pixels = shape[0] * height * width
    if not isinstance(bits, bytes) or len(bits) != (pixels + 7) // 8:
        found = f"{len(bits)} bytes" if isinstance(bits, bytes) else f"a {type(bits).__name__}"
        raise AgentError(f"masks are {found}, not the {(pixels + 7) // 8} bytes of {shape}")
    flat = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=pixels)
    return flat.view(np.bool_).reshape(shape)
