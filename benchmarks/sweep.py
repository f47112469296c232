"""A noise sweep over one image with a SAM: one encode and lockstep decodes, beside one episode after another.

    python benchmarks/sweep.py [--episodes N] [--vit-b]

The sweep has 20 repeats, 6 levels of noise and 20 clicks: 101 episodes (without noise repeats are equal), so
one encode and about 2,000 decodes. The engine's way is a whole block of the engine: click, noise, decode,
choice, Dice and IoU, hash of every mask, rows. The sequential way is that of published evaluation loops, with
the official `SamPredictor`: every episode encodes its image, then asks click by click. Both place clicks with
our annotator, which is faster than such loops' own, so the ratio says what encoding once and batching give,
and no more. Some episodes, spread over levels and repeats, are run the sequential way; the total is the
median of their encodes and of their clicks, times the number of episodes. Masks are compared pixel by pixel,
with the logits fed back from step to step.

On a CPU the clock is processor time, so that other programs disturb little; on a GPU it is wall time.

The network is the official code with random weights. Reduced, it has a quarter of ViT-B's input side and
about its ratio of an encode to a decode; ``--vit-b`` runs ViT-B itself (many minutes on a CPU).

A last table has the latency of one interaction: batch 1, warm, the device synchronised, masks on the host.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam
from timing import Result, arguments

from simclick.agent import AgentInfo, Request
from simclick.baselines.sam.predictor import SamAgent, SamOptions
from simclick.baselines.sam.reduced import reduced_sam
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.datasets.phantoms import Phantoms
from simclick.episode import Episode, Ground, Rules, ask
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import make_plan
from simclick.harness.records import mask_sha256
from simclick.harness.select import select
from simclick.prompts import Round, click
from simclick.protocol import Protocol, load_protocol

SIDE = 512
REPEATS, CLICKS = 20, 20
LEVELS = [0.0, 2.0, 5.0, 10.0, 20.0, 30.0]

Key = tuple[float, int]


class OneCase(Dataset):
    """One case."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.info = DatasetInfo(case.dataset)
        self.case = case

    def references(self) -> Sequence[int]:
        """Return the one reference."""
        return [0]

    def load(self, reference: int) -> Case:
        """Return the case."""
        return self.case


def case_at(side: int) -> Case:
    """Return a phantom, its sides scaled."""
    import cv2

    found = next(case for case in Phantoms() if 0.005 <= case.truth.mean() <= 0.05)
    image = cv2.resize(found.image, (side, side), interpolation=cv2.INTER_LINEAR)
    truth = cv2.resize(found.truth.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    return Case("0", "bench", np.asarray(image, np.uint8), truth, group="0", modality="", target="")


def quarter_sam() -> Sam:
    """Return the official classes with a quarter of ViT-B's side and its twelve blocks, narrower."""
    return reduced_sam(
        256, depth=12, width=576, heads=9, window=14, global_at=(2, 5, 8, 11), channels=64, decoder_width=512,
        decoder_heads=8,
    )  # fmt: skip


def agent_of(model: Sam, device: str, decoder: str, batch: int | None = None) -> SamAgent:
    """Return the model as an agent, with its own batch or another."""
    info = AgentInfo("sam", random_weights=True, uses_previous=True)
    agent = SamAgent(model, info, SamOptions(device=device, decoder=decoder))
    agent.batch = batch or agent.batch
    return agent


def protocol() -> Protocol:
    """Return the sweep's protocol."""
    changes = {"levels": LEVELS, "repeats": REPEATS, "budget": CLICKS}
    return load_protocol("click-noise-v1").with_overrides(changes)


class Masks:
    """Keeps what a lockstep's rows say of every mask, by episode."""

    def __init__(self, rows: Any) -> None:
        steps = rows.table("steps").to_pandas()
        self.hashes: dict[Key, list[str]] = {
            (float(level), int(repeat)): list(part.sort_values("step").mask_sha256)
            for (level, repeat), part in steps.groupby(["level", "repeat"])
        }
        self.dice: dict[Key, list[float]] = {
            (float(level), int(repeat)): list(part.sort_values("step").dice)
            for (level, repeat), part in steps.groupby(["level", "repeat"])
        }


def engine_way(agent: SamAgent, case: Case, device: str) -> tuple[float, Masks]:
    """Run the whole sweep as a block of the engine; return seconds and masks."""
    dataset, rules = OneCase(case), Rules(protocol(), 0)
    plan = make_plan(agent, dataset, rules.protocol)
    lockstep = Lockstep(agent, dataset, rules)
    seconds, rows = _timed(lambda: lockstep.run(plan.blocks[0]), device)
    return seconds, Masks(rows)


def sequential_episode(
    predictor: SamPredictor, agent: SamAgent, case: Case, cell: Key, device: str
) -> tuple[float, float, list[str], list[float]]:
    """Run one episode the sequential way; return seconds of encode and of the rest, mask hashes and Dice."""
    rules = Rules(protocol(), 0)
    seconds, _ = _timed(lambda: predictor.set_image(case.image), device)
    hashes: list[str] = []
    dice: list[float] = []

    def clicks() -> None:
        ground = Ground(case)
        episode = Episode(ground, rules, *cell)
        seen: tuple[Round, ...] = ()
        logits: NDArray[np.float32] | None = None
        while episode.status == "running":
            (round_,) = ask([episode])
            if round_ is None:
                break
            seen += (round_.seen(),)
            prompts = [prompt for one in seen for prompt in one.prompts]
            masks, scores, low = predictor.predict(
                point_coords=np.array([p.landed for p in prompts]),
                point_labels=np.array([int(p.positive) for p in prompts]),
                mask_input=logits,
                multimask_output=len(prompts) == 1,
            )
            best = int(np.argmax(scores))
            logits = low[best : best + 1]
            hashes.append(mask_sha256(masks[best]))
            episode.answer(masks[best])
            dice.append(episode.dice)

    rest, _ = _timed(clicks, device)
    return seconds, rest, hashes, dice


def _timed(function: Callable[[], Any], device: str) -> tuple[float, Any]:
    clock = time.process_time if device == "cpu" else time.perf_counter
    _wait(device)
    start = clock()
    result = function()
    _wait(device)
    return clock() - start, result


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def spread(cells: Sequence[Key], count: int) -> list[Key]:
    """Return some cells, spread over all."""
    return [cells[i * len(cells) // count] for i in range(min(count, len(cells)))]


def compare(result: Result, name: str, model: Sam, case: Case, options: argparse.Namespace) -> None:
    """Measure one network both ways, and add its rows."""
    device = options.device
    predictor, plain = SamPredictor(model.to(device)), agent_of(model, device, "torch")
    cells = list(protocol().cells())
    sequential_episode(predictor, plain, case, cells[0], device)  # warm: the click's kernel as well
    some = spread(cells, options.episodes)
    ways = [
        ("official decoder", plain),
        ("fast decoder", agent_of(model, device, "fast")),
    ]
    for _, agent in ways:
        (embedding,) = agent.encode([case.image])
        agent.predict([Request(embedding, case.size, (Round((click(1, 1),)),))] * agent.batch)
    encodes, rests, hashes, dices = [], [], {}, {}
    times: dict[str, list[float]] = {label: [] for label, _ in ways}
    masks: dict[str, Masks] = {}
    for turn in range(options.repeats):
        for cell in some[turn :: options.repeats]:
            encode, rest, hashes[cell], dices[cell] = sequential_episode(predictor, plain, case, cell, device)
            encodes.append(encode)
            rests.append(rest)
        for label, agent in ways:
            seconds, masks[label] = engine_way(agent, case, device)
            times[label].append(seconds)
    total = (median(encodes) + median(rests)) * len(cells)
    shared = median(encodes) + median(rests) * len(cells)
    table = result.table(
        f"Sweep with {name}: {len(cells)} episodes of {CLICKS} clicks, image {SIDE}², {device}",
        *("way", "seconds", "faster than a", "than b", "masks that differ", "most Dice apart"),
        note=f"a and b: {len(some)} episodes were run, and multiplied; an encode takes "
        f"{median(encodes):.2f} s, the {CLICKS} clicks of one episode {median(rests):.2f} s; "
        f"engine: {options.repeats} runs",
    )
    table.add("a: encode per episode, one by one", f"{total:.1f}", "1.0x", "", "", "")
    table.add("b: one encode, one by one", f"{shared:.1f}", f"{total / shared:.1f}x", "1.0x", "", "")
    for label, _ in ways:
        took, kept = median(times[label]), masks[label]
        pairs = [(a, b) for cell in some for a, b in zip(hashes[cell], kept.hashes[cell], strict=False)]
        apart = [abs(a - b) for cell in some for a, b in zip(dices[cell], kept.dice[cell], strict=False)]
        lengths = sum(len(hashes[cell]) != len(kept.hashes[cell]) for cell in some)
        differ = f"{sum(a != b for a, b in pairs)} of {len(pairs)}" + (
            f", {lengths} lengths" if lengths else ""
        )
        ratios = f"{total / took:.1f}x", f"{shared / took:.1f}x"
        table.add(f"engine, {label}", f"{took:.1f}", *ratios, differ, f"{max(apart):.1e}")


def latency(result: Result, name: str, model: Sam, case: Case, options: argparse.Namespace) -> None:
    """Add the seconds of one interaction: five clicks and the mask before, one mask wanted."""
    device = options.device
    table = result.table(
        f"One interaction with {name}: batch 1, warm, synchronised, mask on the host",
        *("decoder", "median ms", "90 % ms"),
    )
    prompts = [click(100 + 40 * i, 200, positive=i % 2 == 0) for i in range(5)]
    for decoder in ("torch", "fast"):
        agent = agent_of(model, device, decoder)
        (embedding,) = agent.encode([case.image])
        rounds = tuple(Round((prompt,)) for prompt in prompts)
        (first,) = agent.predict([Request(embedding, case.size, rounds[:1])])
        memory = first.memories[0] if first.memories is not None else None
        request = Request(embedding, case.size, rounds, memory=memory)

        ground = Ground(case)

        def once(agent: SamAgent = agent, request: Request = request, ground: Ground = ground) -> None:
            select(agent.predict([request])[0], "score", ground)

        once()
        taken = [_timed(once, device)[0] * 1000 for _ in range(4 * options.repeats)]
        label = {"torch": "official", "fast": "fast"}[decoder]
        table.add(label, f"{median(taken):.1f}", f"{np.quantile(taken, 0.9):.1f}")


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.set_defaults(repeats=3)
    parser.add_argument("--vit-b", action="store_true", help="ViT-B as well")
    parser.add_argument("--episodes", type=int, default=12, help="run one by one (default: 12; 0: all)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    options = parser.parse_args()
    options.episodes = options.episodes or len(list(protocol().cells()))
    torch.set_num_threads(options.threads)
    result, case = Result("sweep"), case_at(SIDE)
    networks: list[tuple[str, Callable[[], Sam]]] = [("a reduced SAM", quarter_sam)]
    if options.vit_b:
        networks.append(("ViT-B", lambda: sam_model_registry["vit_b"]().eval()))
    for name, build in networks:
        torch.manual_seed(0)
        model = build()
        compare(result, name, model, case, options)
        latency(result, name, model, case, options)
    result.save(options.json)


if __name__ == "__main__":
    main()
