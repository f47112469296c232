"""A whole sweep on the device: every episode of some images in lockstep, without a word from the host.

Step by step, for all episodes at once: next click, its noise, decode, choice among the candidates by
predicted IoU, mask at the image's size, overlap with the truth. Coordinates, counts and packed masks are
copied back, and the copy of a step runs beside the next one. The rules are those of a run with
``center-click``, ``select: score`` and SAM's ``multimask=first-click``, ``feed_logits=true``: three
candidates for the first click, one after that.

An episode with nothing left to correct keeps its mask, and has no click from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simclick.baselines.sam.fast.clicks import next_clicks, overlap_counts, packed
from simclick.baselines.sam.fast.decoder import NEGATIVE, PADDING, POSITIVE, UNUSED, FastDecoder, upscaled

__all__ = ["Sweep", "sweep"]


@dataclass(frozen=True)
class Sweep:
    """What came back: E episodes of S steps.

    Attributes:
        meant: Int64[E, S, 2], x and y where the click was meant; -1 where there was none.
        landed: Int64[E, S, 2], where it landed.
        positive: Bool[E, S], its label.
        chosen: Int64[E, S], index of the chosen candidate.
        scores: Float32[E, S], its predicted IoU.
        counts: Int64[E, S, 3], pixels in mask and truth, in the mask, in the truth.
        masks: UInt8[E, S, H, ceil(W / 8)], packed, or None.
        logits: Float32[E, h, w], low-resolution logits of the last step; on the device.
    """

    meant: Tensor
    landed: Tensor
    positive: Tensor
    chosen: Tensor
    scores: Tensor
    counts: Tensor
    masks: Tensor | None
    logits: Tensor

    def home(self) -> Sweep:
        """Return the sweep with everything but `logits` on the host, once the device is done."""
        if self.logits.is_cuda:
            torch.cuda.synchronize(self.logits.device)
        names = "meant", "landed", "positive", "chosen", "scores", "counts"
        return replace(self, **{name: getattr(self, name).cpu() for name in names})

    @property
    def dice(self) -> Tensor:
        """Float64[E, S]; 1 where mask and truth are empty."""
        total = self.counts[..., 1] + self.counts[..., 2]
        return torch.where(total > 0, 2 * self.counts[..., 0] / total.clamp(min=1).double(), 1.0)


def sweep(
    decoder: FastDecoder,
    images: Tensor,
    truths: Tensor,
    of: Tensor,
    moves: Tensor,
    input_size: tuple[int, int],
    *,
    ignore: Tensor | None = None,
    batch: int = 128,
    masks_to: Tensor | None = None,
) -> Sweep:
    """Run E episodes on I images of one size for S steps; all tensors of the answer stay on the device.

    The host is never waited for, so the whole call may be captured as a CUDA graph. Where `masks_to` is
    given, it may be read once the device is done (`Sweep.home` waits for that).

    Args:
        decoder: The decoder.
        images: Float[I, h w, C], encoded images as `FastDecoder.images` gives them.
        truths: Bool[I, H, W].
        of: Int64[E], the image of each episode.
        moves: Int64[E, S, 2], how far a click of each step lands from where it is meant, x and y; landed
            clicks are clipped to the image.
        input_size: Height and width of the images in the encoder's frame, before padding.
        ignore: Bool[I, H, W], pixels that count nowhere, or None.
        batch: Most requests per decode.
        masks_to: UInt8[S, E, H, ceil(W / 8)] on the host, pinned for a copy beside the work; None: masks
            do not come back.
    """
    with torch.inference_mode():
        state = _Sweeping(decoder, images, truths, of, moves, input_size, ignore, batch)
        copies = _Copies(truths.device)
        for step in range(moves.shape[1]):
            state.step(step)
            if masks_to is not None:
                copies.start(packed(state.masks), masks_to[step])
        copies.join()
    back = None if masks_to is None else masks_to.transpose(0, 1)
    return Sweep(
        state.meant,
        state.landed,
        state.positive,
        state.chosen,
        state.scores,
        state.counts,
        back,
        state.logits,
    )


class _Sweeping:
    """All episodes of a sweep, under way; arguments as those of `sweep`."""

    def __init__(
        self,
        decoder: FastDecoder,
        images: Tensor,
        truths: Tensor,
        of: Tensor,
        moves: Tensor,
        input_size: tuple[int, int],
        ignore: Tensor | None,
        batch: int,
    ) -> None:
        self.decoder, self.images, self.truths, self.ignore = decoder, images, truths, ignore
        self.of, self.moves, self.input_size, self.batch = of, moves, input_size, batch
        self.size = truths.shape[1], truths.shape[2]
        device, (episodes, steps) = truths.device, moves.shape[:2]
        self.rows = torch.arange(episodes, device=device)
        self.masks = torch.zeros(episodes, *self.size, dtype=torch.bool, device=device)
        self.clicked = torch.zeros_like(self.masks)
        self.logits = torch.zeros(episodes, 4 * decoder.grid[0], 4 * decoder.grid[1], device=device)
        self.points = torch.zeros(episodes, steps + 1, 2, device=device)
        self.labels = torch.full((episodes, steps + 1), UNUSED, device=device)
        self.labels[:, 0] = PADDING
        self.goes_on = torch.ones(episodes, dtype=torch.bool, device=device)
        self.meant = torch.full((episodes, steps, 2), -1, device=device)
        self.landed = torch.full_like(self.meant, -1)
        self.positive = torch.zeros(episodes, steps, dtype=torch.bool, device=device)
        self.chosen = torch.zeros(episodes, steps, dtype=torch.int64, device=device)
        self.scores = torch.zeros(episodes, steps, device=device)
        self.counts = torch.zeros(episodes, steps, 3, dtype=torch.int64, device=device)

    def step(self, step: int) -> None:
        """Click, decode, and take the new masks."""
        self._click(step)
        for i in range(0, len(self.rows), self.batch):
            self._decode(step, slice(i, i + self.batch))
        found = overlap_counts(self.truths, self.of, self.masks, self.ignore)
        self.counts[:, step] = torch.stack(found, dim=1)

    def _click(self, step: int) -> None:
        height, width = self.size
        click = next_clicks(self.truths, self.of, self.masks, self.clicked, self.ignore)
        self.goes_on = self.goes_on & click.found
        x = (click.x + self.moves[:, step, 0]).clamp(0, width - 1)
        y = (click.y + self.moves[:, step, 1]).clamp(0, height - 1)
        self.clicked[self.rows, y, x] = True
        on = self.goes_on[:, None]
        self.meant[:, step] = torch.where(on, torch.stack([click.x, click.y], dim=1), -1)
        self.landed[:, step] = torch.where(on, torch.stack([x, y], dim=1), -1)
        self.positive[:, step] = click.positive & self.goes_on
        # As the official transform: in double precision, then rounded once.
        self.points[:, step + 1, 0] = (x.double() * (self.input_size[1] / width)).float()
        self.points[:, step + 1, 1] = (y.double() * (self.input_size[0] / height)).float()
        kind = torch.where(click.positive, POSITIVE, NEGATIVE)
        self.labels[:, step + 1] = torch.where(self.goes_on, kind, UNUSED)

    def _decode(self, step: int, part: slice) -> None:
        previous = self.logits[part] if step else None
        low, quality = self.decoder(
            self.images, self.of[part], self.points[part], self.labels[part], previous
        )
        rows = self.rows[: len(low)]
        # Three candidates for a single click, else the one mask, which comes first.
        best = quality[:, 1:].argmax(dim=1) if step == 0 else torch.zeros_like(rows)
        index = best + (1 if step == 0 else 0)
        on = self.goes_on[part, None, None]
        self.logits[part] = torch.where(on, low[rows, index], self.logits[part])
        side = int(self.decoder.side)
        full = upscaled(self.logits[part], side, self.input_size, self.size) > 0
        self.masks[part] = torch.where(on, full, self.masks[part])
        self.chosen[part, step], self.scores[part, step] = best, quality[rows, index]


class _Copies:
    """Copies to the host on a stream of their own, beside the work."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.under_way: list[Tensor] = []

    def start(self, source: Tensor, target: Tensor) -> None:
        """Start a copy of what the current stream is about to finish."""
        if self.stream is None:
            target.copy_(source)
            return
        self.under_way.append(source)  # its memory must not be used again before the copy is done
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            target.copy_(source, non_blocking=True)

    def join(self) -> None:
        """Let the current stream wait for all copies."""
        if self.stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self.stream)
