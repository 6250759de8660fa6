"""Prune by a detection metric: mean average precision is of a whole set of pictures, so no example has a score alone.

    cd examples/detection
    identikit prune detector.py:net --data detector.py:batches --score score.py:mean_average_precision --drop 1 \\
        --to smaller

The data only shows what the model takes; the score has its own pictures. It is written down after each evaluation, so
a prune that was stopped goes on with --resume.
"""

from __future__ import annotations

import torch
from detector import CLASSES, decoded, pictures
from torch import nn

OVERLAP = 0.5  # intersection over union from which on a box counts as found
RECALLS = torch.linspace(0, 1, 101)  # where COCO reads the precision


def mean_average_precision(model: nn.Module) -> float:
    """mAP at an overlap of 0.5 on 48 pictures, 0 to 1: the mean over classes of the area under precision and recall."""
    images, truth = pictures(48, seed=2)
    with torch.no_grad():
        found = [distinct(*each) for each in decoded(model(images))]
    return sum(average_precision(found, truth, kind) for kind in range(CLASSES)) / CLASSES


def average_precision(
    found: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    truth: list[tuple[torch.Tensor, torch.Tensor]],
    kind: int,
) -> float:
    """Of one class: all its boxes in all pictures, the surest first; each object may be found once."""
    taken = [torch.zeros(len(classes), dtype=torch.bool) for _, classes in truth]
    every = [
        (float(score), number, box)
        for number, (boxes, scores, classes) in enumerate(found)
        for box, score, is_kind in zip(boxes, scores, classes == kind, strict=True)
        if is_kind
    ]
    hits = []
    for _, number, box in sorted(every, key=lambda each: -each[0]):
        boxes, classes = truth[number]
        overlaps = overlap(box[None], boxes)[0].masked_fill((classes != kind) | taken[number], 0.0)
        best = int(overlaps.argmax()) if len(overlaps) else 0
        hit = bool(len(overlaps)) and float(overlaps[best]) >= OVERLAP
        taken[number][best] |= hit
        hits.append(hit)
    objects = sum(int((classes == kind).sum()) for _, classes in truth)
    right = torch.tensor(hits, dtype=torch.float64).cumsum(0)
    precision = right / torch.arange(1, len(hits) + 1)
    envelope = precision.flip(0).cummax(0).values.flip(0) if len(hits) else precision
    at = torch.searchsorted(right / max(1, objects), RECALLS.double())
    return float(torch.cat([envelope, torch.zeros(1)])[at].mean())


def distinct(
    boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The surest of boxes of one class that overlap by half (non-maximum suppression), of those above 0.05."""
    kept: list[int] = []
    for number in scores.argsort(descending=True).tolist():
        same = [other for other in kept if classes[other] == classes[number]]
        if scores[number] > 0.05 and (not same or float(overlap(boxes[number][None], boxes[same]).max()) < OVERLAP):
            kept.append(number)
    return boxes[kept], scores[kept], classes[kept]


def overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union [one, other] of boxes (left, top, right, bottom)."""
    low, high = torch.maximum(one[:, None, :2], other[None, :, :2]), torch.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(each[:, 2:] - each[:, :2]).prod(-1) for each in (one, other)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)
