"""The public CIFAR-10 weights through `identikit.nn`: accuracy by the side on which the padded shortcut puts its zeros.

    python benchmarks/cifar.py --data FOLDER

FOLDER holds cifar10-test-1000.npz (test images from lossy JPEG copies), resnet20-12fca82f.th and resnet32-d509ac18.th
(akamaster/pytorch_resnet_cifar10). Writes benchmarks/results/cifar.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from identikit.nn import CifarResNet

RESULT = Path(__file__).parent / "results" / "cifar.json"
WEIGHTS = {20: "resnet20-12fca82f.th", 32: "resnet32-d509ac18.th"}
GOAL = {20: 80.4, 32: 84.0}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images(file: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images [N, 3, 32, 32], and their labels."""
    with np.load(file) as held:
        pixels, labels = torch.from_numpy(held["images"]), torch.from_numpy(held["labels"])
    x = pixels.permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (MEAN, DEVIATION))
    return (x - mean) / deviation, labels


def accuracy(network: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """Per cent of the images that are named right."""
    network.eval()
    with torch.no_grad():
        right = torch.cat([network(batch).argmax(1) for batch in x.split(100)]) == labels
    return round(100 * right.double().mean().item(), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    x, labels = images(options.data / "cifar10-test-1000.npz")
    found: dict[str, dict[str, float]] = {}
    for depth, file in WEIGHTS.items():
        state = torch.load(options.data / file, map_location="cpu", weights_only=True)["state_dict"]
        found[f"ResNet-{depth}"] = {
            side: accuracy(CifarResNet(depth, pad_side=side).load_reference(state), x, labels)
            for side in ("both", "front", "behind")
        }
    goal = {f"ResNet-{depth}": percent for depth, percent in GOAL.items()}
    result = {"images": len(x), "accuracy_by_pad_side": found, "goal_with_both": goal}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    sys.exit(any(found[name]["both"] != percent for name, percent in goal.items()))


if __name__ == "__main__":
    main()
