"""The lesion study of Veit, Wilber and Belongie 2016: blocks of a trained network deleted or swapped, the error read.

    python examples/lesion_study.py [--data FOLDER] [--to FIGURE.svg] [--quick]

"Residual Networks Behave Like Ensembles of Relatively Shallow Networks" (arXiv 1605.06431) took single modules out of a
trained ResNet of 54 modules and hardly saw its error change, whereas a VGG without any one of its layers guessed; with
more modules gone, or swapped, the error grew smoothly. Here that is done to two networks trained on the spot on
scikit-learn's digits, equal but for the skips, and with FOLDER to the real ResNet-32: it holds resnet32-d509ac18.th
(akamaster/pytorch_resnet_cifar10) and cifar10-test-1000.npz (1,000 test images).
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import identikit as ik
from identikit.nn import CifarResNet, Residual


class Subject(NamedTuple):
    """A trained network, images that it was not trained on, the blocks in question, and what they become (`as_=`)."""

    name: str
    network: nn.Module
    unseen: list[tuple[torch.Tensor, torch.Tensor]]
    places: str
    as_: str | None = None


def on_digits(*, residual: bool, blocks: int, epochs: int) -> Subject:
    """A network of so many blocks of two convolutions each, with or without skips, trained from one seed."""

    def block() -> nn.Module:
        one, other = (nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in range(2))
        layers = [one, nn.BatchNorm2d(16), nn.ReLU(), other, nn.BatchNorm2d(16)]
        return Residual(nn.Sequential(*layers)) if residual else nn.Sequential(*layers, nn.ReLU())

    torch.manual_seed(0)
    stem, body = nn.Conv2d(1, 16, 3, padding=1), nn.Sequential(*(block() for _ in range(blocks)))
    ends = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    network = nn.Sequential(OrderedDict(stem=stem, body=body, head=ends))
    pixels, classes = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(classes)
    known, unseen = train_test_split(torch.arange(len(y)), test_size=600, random_state=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in known[torch.randperm(len(known))].split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
    pairs = list(zip(x[unseen].split(100), y[unseen].split(100), strict=True))
    return Subject("digits, residual" if residual else "digits, plain", network.eval(), pairs, "body.*")


def on_cifar(folder: Path, images: int) -> Subject:
    """The public ResNet-32. Two of its 15 blocks halve the image, so branches go and skips stay, as in the paper."""
    weights = torch.load(folder / "resnet32-d509ac18.th", map_location="cpu", weights_only=True)["state_dict"]
    with np.load(folder / "cifar10-test-1000.npz") as held:
        spread = np.random.default_rng(0).permutation(len(held["labels"]))[:images]
        x, y = torch.from_numpy(held["images"][spread]), torch.from_numpy(held["labels"][spread])
    channels = [torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    x = (x.permute(0, 3, 1, 2) / 255 - channels[0]) / channels[1]
    network, pairs = CifarResNet(32).load_reference(weights).eval(), list(zip(x.split(50), y.split(50), strict=True))
    return Subject("CIFAR-10, ResNet-32", network, pairs, "body.*.*.branch", as_="zero")


@torch.no_grad()
def error(subject: Subject) -> float:
    """The share of wrong answers."""
    return torch.cat([subject.network(x).argmax(1) != y for x, y in subject.unseen]).double().mean().item()


def one_deleted(subject: Subject) -> dict[str, float]:
    """The error without each of the blocks: a scan, whose rows have what is left of the accuracy."""
    network, unseen, places, as_ = subject[1:]
    rows = ik.scan(network, unseen, places, "accuracy", as_=as_, costs=False, progress=False).rows
    return {row.places[0]: 1 - row.edited for row in rows}


def some_deleted(subject: Subject, places: list[str], count: int) -> float:
    """The error without so many of the blocks, drawn at random."""
    gone = random.sample(places, count)
    with ik.bypass(subject.network, gone, inputs=subject.unseen[0][0], as_=subject.as_):
        return error(subject)


def some_swapped(subject: Subject, places: list[str], count: int) -> float:
    """The error after so many swaps of two blocks of equal sizes, drawn at random; swapped back afterwards."""
    blocks = {place: subject.network.get_submodule(place) for place in places}
    sizes = {place: [value.shape for value in block.parameters()] for place, block in blocks.items()}
    pairs = [pair for pair in itertools.combinations(places, 2) if sizes[pair[0]] == sizes[pair[1]]]
    order = dict(blocks)
    for one, other in random.choices(pairs, k=count):
        order[one], order[other] = order[other], order[one]
    for place in places:
        subject.network.set_submodule(place, order[place])
    found = error(subject)
    for place in places:
        subject.network.set_submodule(place, blocks[place])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with the real network and images")
    parser.add_argument("--to", type=Path, default=Path("lesion_study.svg"), help="the figure (.svg, .png, .pdf)")
    parser.add_argument("--quick", action="store_true", help="smaller networks, fewer images and draws")
    options = parser.parse_args()
    blocks, epochs, draws, counts = (5, 4, 2, (1, 2)) if options.quick else (10, 15, 5, (1, 2, 3, 4, 6, 8))
    subjects = [on_digits(residual=each, blocks=blocks, epochs=epochs) for each in (True, False)]
    if options.data is not None:
        subjects.insert(0, on_cifar(options.data, 100 if options.quick else 1000))

    figure = Figure(figsize=(11, 3.5), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    random.seed(0)
    for subject in subjects:
        whole, singles = error(subject), one_deleted(subject)
        places, worst = list(singles), max(singles, key=singles.__getitem__)
        print(f"\n{subject.name}: {len(places)} blocks, error {whole:.1%}; chance 90 %")
        print(f"  one deleted: median {np.median([*singles.values()]):.1%}, worst {singles[worst]:.1%} ({worst})")
        panels[0].plot(range(1, len(places) + 1), singles.values(), "o-", label=subject.name)
        for panel, harm in zip(panels[1:], (some_deleted, some_swapped), strict=True):
            means = {count: np.mean([harm(subject, places, count) for _ in range(draws)]) for count in counts}
            said = [f"{count}: {each:.1%}" for count, each in means.items()]
            print(f"  {harm.__name__.replace('_', ' ')}, mean of {draws} draws: {', '.join(said)}")
            panel.plot([0, *counts], [whole, *means.values()], "o-", label=subject.name)
        assert error(subject) == whole, "the network is not as it was"
    for panel, title in zip(panels, ("which block is deleted", "blocks deleted", "blocks swapped"), strict=True):
        panel.set(xlabel=title, ylabel="error", ylim=(0, 1))
    panels[2].legend(loc="lower right")
    figure.savefig(options.to)
    print(f"\nFigure: {options.to}")


if __name__ == "__main__":
    main()
