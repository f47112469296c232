"""Files that the tests of the readers make themselves, without the library that reads them."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the shared real images are absent ({name})")
    return folder


def png_bytes(samples: np.ndarray, palette: np.ndarray | None = None, bits: int | None = None) -> bytes:
    """Encode a PNG by hand: no filter, one IDAT. `bits` below 8 packs grey or palette indices."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    depth = bits or samples.dtype.itemsize * 8
    colour_type = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    height, width = samples.shape[:2]
    if depth < 8:
        rows = samples.astype(np.uint8)[..., None] >> np.arange(depth - 1, -1, -1) & 1
        packed = np.packbits(rows.reshape(height, -1).astype(bool), axis=1)
        lines = [row.tobytes() for row in packed]
    else:
        lines = [row.astype(f">u{depth // 8}").tobytes() for row in samples]
    raw = b"".join(b"\0" + line for line in lines)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    plte = b"" if palette is None else chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + plte + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def write_png(path: Path, samples: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(samples, **options))  # type: ignore[arg-type]
    return path


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def picture(height: int = 12, width: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def disc(height: int = 12, width: int = 16, radius: float = 3.0) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return (rows - height // 2) ** 2 + (columns - width // 2) ** 2 <= radius**2
