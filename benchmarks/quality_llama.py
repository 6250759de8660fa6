"""The part `llama` of benchmarks/quality.py: a trained LLaMA's layers dropped, perplexity and KL by method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import quality_text as text
import torch
from quality_after import Healing
from quality_case import Gone, Subject
from quality_intervals import paired, perplexity
from quality_least_squares import LLAMA, chosen_span, least_squares
from quality_ours import chosen, made_up
from quality_rivals import RIVALS
from torch import nn

MOST = 4  # of 8 layers
METRICS = {"greedy": ("fidelity", "kl"), "beam 4": ("kl",), "span": ("kl",)}
OURS = {f"ours {way}, {metric}": (way, metric) for way, metrics in METRICS.items() for metric in metrics}
OWN_TEXT = 1024  # blocks to heal on
MADE_UP_FOR = (("greedy", "fold"), ("greedy", "adapter"), ("span", "fold"))  # by kl
Judged = dict[str, text.Figures]


class Judge:
    """The figures of models on the texts that are reported; those of a set of layers are worked out once."""

    def __init__(self, subject: Subject, texts: dict[str, torch.Tensor]) -> None:
        self.subject = subject
        self.texts = {name: (ids, text.said_of(subject.model, ids)) for name, ids in texts.items()}
        self.known: dict[Gone, Judged] = {}
        self.known_healed: dict[Gone, Judged] = {}

    def model(self, model: nn.Module) -> Judged:
        return {name: text.judged(model, ids, said) for name, (ids, said) in self.texts.items()}

    def without(self, gone: Gone) -> Judged:
        if gone not in self.known:
            self.known[gone] = self.model(self.subject.smaller(gone))
        return self.known[gone]

    def healed(self, gone: Gone, healing: Healing) -> Judged:
        if gone not in self.known_healed:
            self.known_healed[gone] = self.model(healing.of(self.subject.smaller(gone), len(gone)))
        return self.known_healed[gone]


def llama(folder: Path, minutes: float) -> dict[str, Any]:
    """Every method at 7, 6, 5 and 4 layers, chosen on one half of the text, reported on the other and on samples.

    minutes: of healing for each model, on other samples of the full model's; 0: none.
    """
    model, tokenizer = text.opened(folder)
    choose, report = text.halves(folder, tokenizer)
    judge = Judge(
        text.subject(model, choose),
        {"second half": report, "sampled": text.sampled(model, tokenizer, blocks=len(report), seed=0)},
    )
    judge.subject.check()
    own = text.sampled(model, tokenizer, blocks=OWN_TEXT, seed=1) if minutes else choose
    healing = Healing(judge.subject, text.batches(own), minutes)
    ours = {name: chosen(judge.subject, MOST, metric, way) for name, (way, metric) in OURS.items()}
    found: dict[str, Any] = {"full": shown(judge.without(()))}
    for drop in range(1, MOST + 1):
        gone = {name: sets[drop] for name, sets in ours.items()}
        gone |= {name: rival(judge.subject, drop) for name, rival in RIVALS.items()}
        figures = {name: judge.without(each) for name, each in gone.items()}
        students = fitted(judge.subject, gone, drop)
        figures |= {name: judge.model(student) for name, student in students.items()}
        found[f"{8 - drop} layers"] = table(gone, figures)
        if minutes:
            plain = [name for name in gone if name not in students and not name.startswith("random")]
            after = {name: judge.healed(gone[name], healing) for name in plain}
            after |= {name: judge.model(healing.of(each, drop)) for name, each in students.items()}
            found[f"{8 - drop} layers, healed"] = table(gone, after)
            found["minutes of healing"], found["steps of healing"] = minutes, dict(healing.steps)
        print(8 - drop, "layers", found, flush=True)
    return found


def fitted(subject: Subject, gone: dict[str, Gone], drop: int) -> dict[str, nn.Module]:
    """What is fitted in closed form; notes down in `gone` for which layers."""
    gone["least squares"] = chosen_span(subject, drop)
    students = {"least squares": least_squares(subject, gone["least squares"], LLAMA)}
    for way, form in MADE_UP_FOR:
        name = f"ours {way}, kl, {form}"
        gone[name], students[name] = made_up(subject, drop, "kl", way, form)
    return students


def table(gone: dict[str, Gone], figures: dict[str, Judged]) -> dict[str, Any]:
    lines = {
        name: {"gone": [int(path.rpartition(".")[2]) for path in each], **shown(figures[name])}
        for name, each in gone.items()
        if name in figures
    }
    return lines | {"beaten by": {name: beaten(figures[name], figures) for name in lines if name.startswith("ours")}}


def shown(figures: Judged) -> dict[str, float]:
    found = {}
    for name, each in figures.items():
        found[f"perplexity, {name}"] = round(float(np.exp(each.loss.mean())), 3)
        found[f"kl, {name}"] = round(float(each.kl.mean()), 4)
    return found


def beaten(mine: Judged, figures: dict[str, Judged]) -> list[str]:
    """The rivals that are better by more than the half-width of the difference's 95 % interval, and by how much."""
    lines = []
    for rival in (name for name in figures if not name.startswith("ours")):
        for name, each in mine.items():
            theirs = figures[rival][name]
            for what, (apart, half) in {
                "perplexity": paired(each.loss, theirs.loss, perplexity),
                "kl": paired(each.kl, theirs.kl),
            }.items():
                if apart > half:
                    lines.append(f"{rival}: {what}, {name}: {apart:.4f} ± {half:.4f}")
    return lines
