"""Papers behind agents, data sets and protocols, as BibTeX; ``simclick cite RUN`` prints those of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from simclick.agent_info import is_shipped

__all__ = ["ENTRIES", "SELF", "bibtex", "cite", "papers_of"]


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = "".join(f"  {name:<9} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}}}"


def _arxiv(key: str, author: str, title: str, number: str, year: str) -> str:
    return _entry("misc", key, author=author, title=title, eprint=number, archivePrefix="arXiv", year=year)


SELF = _entry(
    "software",
    "simclick",
    author="{The simclick authors}",
    title="simclick: a simulated interactive-segmentation benchmark for medical images",
)
"""The project itself; ``CITATION.cff`` says the same."""

_CVPR = "IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)"
_ICCV = "IEEE/CVF International Conference on Computer Vision (ICCV)"

ENTRIES: Mapping[str, str] = {
    "kirillov2023sam": _entry(
        "inproceedings",
        "kirillov2023sam",
        author="Kirillov, Alexander and Mintun, Eric and Ravi, Nikhila and Mao, Hanzi and Rolland, Chloe and "
        "Gustafson, Laura and Xiao, Tete and Whitehead, Spencer and Berg, Alexander C. and Lo, Wan-Yen and "
        "Doll{\\'a}r, Piotr and Girshick, Ross",
        title="Segment Anything",
        booktitle=_ICCV,
        pages="4015--4026",
        year="2023",
    ),
    "cheng2023sammed2d": _arxiv(
        "cheng2023sammed2d",
        "Cheng, Junlong and Ye, Jin and Deng, Zhongying and Chen, Jianpin and Li, Tianbin and "
        "Wang, Haoyu and Su, Yanzhou and Huang, Ziyan and Chen, Jilong and Jiang, Lei and Sun, Hui and "
        "He, Junjun and Zhang, Shaoting and Zhu, Min and Qiao, Yu",
        "{SAM-Med2D}",
        "2308.16184",
        "2023",
    ),
    "ma2024medsam": _entry(
        "article",
        "ma2024medsam",
        author="Ma, Jun and He, Yuting and Li, Feifei and Han, Lin and You, Chenyu and Wang, Bo",
        title="Segment anything in medical images",
        journal="Nature Communications",
        volume="15",
        pages="654",
        year="2024",
        doi="10.1038/s41467-024-44824-z",
    ),
    "sofiiuk2022ritm": _entry(
        "inproceedings",
        "sofiiuk2022ritm",
        author="Sofiiuk, Konstantin and Petrov, Ilya A. and Konushin, Anton",
        title="Reviving Iterative Training with Mask Guidance for Interactive Segmentation",
        booktitle="IEEE International Conference on Image Processing (ICIP)",
        pages="3141--3145",
        year="2022",
    ),
    "xu2016dios": _entry(
        "inproceedings",
        "xu2016dios",
        author="Xu, Ning and Price, Brian and Cohen, Scott and Yang, Jimei and Huang, Thomas S.",
        title="Deep Interactive Object Selection",
        booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
        pages="373--381",
        year="2016",
    ),
    "liu2023simpleclick": _entry(
        "inproceedings",
        "liu2023simpleclick",
        author="Liu, Qin and Xu, Zhenlin and Bertasius, Gedas and Niethammer, Marc",
        title="{SimpleClick}: Interactive Image Segmentation with Simple Vision Transformers",
        booktitle=_ICCV,
        pages="22290--22300",
        year="2023",
    ),
    "chen2022focalclick": _entry(
        "inproceedings",
        "chen2022focalclick",
        author="Chen, Xi and Zhao, Zhiyan and Zhang, Yilei and Duan, Manni and Qi, Donglian and "
        "Zhao, Hengshuang",
        title="{FocalClick}: Towards Practical Interactive Image Segmentation",
        booktitle=_CVPR,
        year="2022",
    ),
    "huang2024cosmos": _entry(
        "article",
        "huang2024cosmos",
        author="Huang, Yuhao and Yang, Xin and Liu, Lian and Zhou, Han and Chang, Ao and Zhou, Xinrui and "
        "Chen, Rusi and Yu, Junxuan and Chen, Jiongquan and Chen, Chaoyu and others",
        title="Segment Anything Model for Medical Images?",
        journal="Medical Image Analysis",
        volume="92",
        pages="103061",
        year="2024",
    ),
    "mazurowski2023sam": _entry(
        "article",
        "mazurowski2023sam",
        author="Mazurowski, Maciej A. and Dong, Haoyu and Gu, Hanxue and Yang, Jichen and Konz, Nicholas and "
        "Zhang, Yixin",
        title="Segment Anything Model for Medical Image Analysis: an Experimental Study",
        journal="Medical Image Analysis",
        volume="89",
        pages="102918",
        year="2023",
    ),
    "antonov2024rclicks": _entry(
        "inproceedings",
        "antonov2024rclicks",
        author="Antonov, Anton and Moskalenko, Andrey and Shepelev, Denis and Krapukhin, Alexander and "
        "Soshin, Konstantin and Konushin, Anton and Shakhuro, Vlad",
        title="{RClicks}: Realistic Click Simulation for Benchmarking Interactive Segmentation",
        booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
        volume="37",
        pages="127673--127710",
        year="2024",
    ),
    "archit2025microsam": _entry(
        "article",
        "archit2025microsam",
        author="Archit, Anwai and Freckmann, Luca and Nair, Sushmita and Khalid, Nabeel and Hilt, Paul and "
        "Rajashekar, Vikas and Freitag, Marei and Teuber, Carolin and others",
        title="Segment Anything for Microscopy",
        journal="Nature Methods",
        volume="22",
        pages="579--591",
        year="2025",
        doi="10.1038/s41592-024-02580-4",
    ),
    "wong2024scribbleprompt": _entry(
        "inproceedings",
        "wong2024scribbleprompt",
        author="Wong, Hallee E. and Rakic, Marianne and Guttag, John and Dalca, Adrian V.",
        title="{ScribblePrompt}: Fast and Flexible Interactive Segmentation for Any Biomedical Image",
        booktitle="European Conference on Computer Vision (ECCV)",
        pages="207--229",
        year="2024",
    ),
    "ulrich2024radioactive": _arxiv(
        "ulrich2024radioactive",
        "Ulrich, Constantin and Wald, Tassilo and Tempus, Emily and Rokuss, Maximilian and "
        "Jaeger, Paul F. and Maier-Hein, Klaus",
        "{RadioActive}: {3D} Radiological Interactive Segmentation Benchmark",
        "2411.07885",
        "2024",
    ),
    "ke2023samhq": _entry(
        "inproceedings",
        "ke2023samhq",
        author="Ke, Lei and Ye, Mingqiao and Danelljan, Martin and Liu, Yifan and Tai, Yu-Wing and "
        "Tang, Chi-Keung and Yu, Fisher",
        title="Segment Anything in High Quality",
        booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
        year="2023",
    ),
    "liu2024segnext": _entry(
        "inproceedings",
        "liu2024segnext",
        author="Liu, Qin and Cho, Jaemin and Bansal, Mohit and Niethammer, Marc",
        title="Rethinking Interactive Image Segmentation with Low Latency, High Quality, and Diverse Prompts",
        booktitle=_CVPR,
        year="2024",
    ),
    "cvpr2025challenge": _entry(
        "misc",
        "cvpr2025challenge",
        title="{CVPR} 2025: Foundation Models for Interactive {3D} Biomedical Image Segmentation",
        howpublished="Challenge, https://www.codabench.org/competitions/5263/",
        year="2025",
    ),
    "rother2004grabcut": _entry(
        "article",
        "rother2004grabcut",
        author="Rother, Carsten and Kolmogorov, Vladimir and Blake, Andrew",
        title="{GrabCut}: Interactive Foreground Extraction Using Iterated Graph Cuts",
        journal="ACM Transactions on Graphics",
        volume="23",
        number="3",
        pages="309--314",
        year="2004",
    ),
    "grady2006random": _entry(
        "article",
        "grady2006random",
        author="Grady, Leo",
        title="Random Walks for Image Segmentation",
        journal="IEEE Transactions on Pattern Analysis and Machine Intelligence",
        volume="28",
        number="11",
        pages="1768--1783",
        year="2006",
    ),
    "boykov2001graphcut": _entry(
        "inproceedings",
        "boykov2001graphcut",
        author="Boykov, Yuri Y. and Jolly, Marie-Pierre",
        title="Interactive Graph Cuts for Optimal Boundary and Region Segmentation of Objects in "
        "{N-D} Images",
        booktitle="IEEE International Conference on Computer Vision (ICCV)",
        volume="1",
        pages="105--112",
        year="2001",
        doi="10.1109/ICCV.2001.937505",
    ),
    "bai2007geodesic": _entry(
        "inproceedings",
        "bai2007geodesic",
        author="Bai, Xue and Sapiro, Guillermo",
        title="A Geodesic Framework for Fast Interactive Image and Video Segmentation and Matting",
        booktitle="IEEE International Conference on Computer Vision (ICCV)",
        pages="1--8",
        year="2007",
        doi="10.1109/ICCV.2007.4408985",
    ),
    "vincent1991watershed": _entry(
        "article",
        "vincent1991watershed",
        author="Vincent, Luc and Soille, Pierre",
        title="Watersheds in Digital Spaces: an Efficient Algorithm Based on Immersion Simulations",
        journal="IEEE Transactions on Pattern Analysis and Machine Intelligence",
        volume="13",
        number="6",
        pages="583--598",
        year="1991",
        doi="10.1109/34.87344",
    ),
    "fonov2011mni": _entry(
        "article",
        "fonov2011mni",
        author="Fonov, Vladimir and Evans, Alan C. and Botteron, Kelly and Almli, C. Robert and "
        "McKinstry, Robert C. and Collins, D. Louis",
        title="Unbiased Average Age-Appropriate Atlases for Pediatric Studies",
        journal="NeuroImage",
        volume="54",
        number="1",
        pages="313--327",
        year="2011",
        doi="10.1016/j.neuroimage.2010.07.033",
    ),
}
"""Every paper, by key. Where many authors wrote one, the first is named and the others are ``others``."""

_AGENTS: Mapping[str, tuple[str, ...]] = {
    "grabcut": ("rother2004grabcut",),
    "random-walker": ("grady2006random",),
    "graph-cut": ("boykov2001graphcut",),
    "geodesic": ("bai2007geodesic",),
    "watershed": ("vincent1991watershed",),
    "pocket-click": ("sofiiuk2022ritm",),
    "pocket-sam": ("kirillov2023sam",),
    "sam_vit_": ("kirillov2023sam",),
    "sam_med2d": ("cheng2023sammed2d", "kirillov2023sam"),
    "medsam": ("ma2024medsam", "kirillov2023sam"),
    "ritm": ("sofiiuk2022ritm",),
    "simpleclick": ("liu2023simpleclick",),
    "focalclick": ("chen2022focalclick",),
}
_DATASETS: Mapping[str, tuple[str, ...]] = {
    "mni152": ("fonov2011mni",),
    "cosmos": ("huang2024cosmos",),
    "sam_med2d": ("cheng2023sammed2d",),
    "medscribble": ("wong2024scribbleprompt",),
}
_PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "noc-": ("xu2016dios", "sofiiuk2022ritm"),
    "cosmos-": ("huang2024cosmos",),
    "cvpr25-": ("cvpr2025challenge",),
    "mazurowski-": ("mazurowski2023sam",),
    "medsam-": ("ma2024medsam",),
    "micro-sam-": ("archit2025microsam",),
    "people-": ("antonov2024rclicks",),
    "rclicks-": ("antonov2024rclicks",),
    "radioactive-": ("ulrich2024radioactive",),
    "sam-hq-": ("ke2023samhq",),
    "sam-med2d-": ("cheng2023sammed2d",),
    "scribbleprompt-": ("wong2024scribbleprompt",),
    "segnext-": ("liu2024segnext",),
}
"""Keys that end in - or _ are beginnings of names."""


def bibtex(*keys: str) -> str:
    """Return the entries of some papers, one after another."""
    return "\n\n".join(ENTRIES[key] for key in keys)


def papers_of(kind: str, name: str) -> str:
    """Return the papers of an agent, a data set or a protocol of this project; empty where it has none.

    Args:
        kind: ``agent``, ``dataset`` or ``protocol``.
        name: Its name; a changed protocol's id has a ``+``.
    """
    table = {"agent": _AGENTS, "dataset": _DATASETS, "protocol": _PROTOCOLS}[kind]
    for known, keys in table.items():
        begins = known.endswith(("-", "_")) and name.startswith(known)
        if name == known or begins or name == f"{known}-onnx":
            return bibtex(*keys)
    return ""


def cite(run: Mapping[str, Any]) -> str:
    """Return what to cite for a run: simclick, then agent, data set and protocol, each paper once.

    Args:
        run: What its ``run.json`` holds. A citation that the agent or the data set brought counts before the
            project's own table, so that a plug-in's papers are printed where the plug-in is not installed.
            That table serves shipped agents alone: by ``specs.agent.name``, which the harness wrote, not by
            the name that a method gave itself.
    """
    ours = is_shipped(_registered(run))
    parts = [("This software", "simclick", SELF)]
    for kind, words, key in (
        ("agent", "Agent", "name"),
        ("dataset", "Data set", "name"),
        ("protocol", "Protocol", "id"),
    ):
        thing = run.get(kind) or {}
        name = str(thing.get(key, ""))
        known = papers_of(kind, name) if kind != "agent" or ours else ""
        parts.append((words, name, str(thing.get("citation") or known)))
    printed: set[str] = set()
    sections = []
    for words, name, papers in parts:
        entries = [entry for entry in _split(papers) if entry not in printed]
        printed.update(entries)
        nothing = "see above" if papers else _silence(words, run)
        sections.append("\n\n".join([f"% {words}: {name}", *(entries or [f"% {nothing}"])]))
    return "\n\n".join(sections)


def _split(papers: str) -> list[str]:
    return [entry.strip() for entry in re.split(r"\n\s*\n(?=@)", papers.strip()) if entry.strip()]


def _silence(words: str, run: Mapping[str, Any]) -> str:
    """Return what is said where there is no paper."""
    key = {"Agent": "agent", "Data set": "dataset", "Protocol": "protocol"}[words]
    source = " ".join(str((run.get(key) or {}).get("source") or "").split())
    if source:
        return f"no BibTeX is known; its source: {source}"
    if key == "dataset":
        return "no paper is known: cite the data's owner"
    if key == "agent" and not is_shipped(_registered(run)):
        return "no paper is known: ask the method's authors"
    return "defined by simclick"


def _registered(run: Mapping[str, Any]) -> str:
    """Return the registered name of the agent that ran; empty where a run does not say."""
    return str(((run.get("specs") or {}).get("agent") or {}).get("name", ""))
