"""The part `minilm` of benchmarks/quality.py: chosen on sentences without scores, judged on STS-B dev by Spearman."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from quality_after import FORMS, Healing
from quality_case import Gone, Subject
from quality_least_squares import BERT, chosen_span, least_squares
from quality_ours import chosen, made_up
from quality_rivals import RIVALS
from scan_cases import minilm as opened
from stsb import spearman

from identikit.batches import Batch
from identikit.metrics import resolve

MOST = 4  # of 6 layers
SENTENCES = 1000  # of stsb-en-train.csv
WAYS = ("greedy", "beam 4", "span")
HEALED_ON = 6000  # sentences
FOLDED = "ours beam 4"  # which is compensated too
HEALED = (FOLDED, f"{FOLDED}, fold", "block influence", "least squares")  # healing is dear: ours and the best rivals
MOST_HEALED = 3  # layers gone
GOALS = {
    ("ours greedy", 2): 85.1, ("ours beam 4", 2): 85.5,
    (f"{FOLDED}, fold", 2): 86.5, (f"{FOLDED}, adapter", 2): 86.6,
    (f"{FOLDED}, fold", 3): 85.7, (f"{FOLDED}, adapter", 3): 85.7,
    (f"{FOLDED}, healed", 2): 86.7, (f"{FOLDED}, healed", 3): 86.3,
}  # fmt: skip


def subject(folder: Path, sentences: int = SENTENCES) -> Subject:
    """all-MiniLM-L6-v2 with its pooling, and its sentences; the agreement of sentence embeddings is what counts."""
    case, around = opened(folder, sentences=sentences)
    around.eval()
    return Subject(
        name="MiniLM", model=around, metric=resolve("fidelity"), positions=at_words, last=at_words, loss=along,
        layers=tuple(f"0.model.{path}" for path in case.layers),
        batches=[Batch(args=(dict(batch.kwargs),), examples=batch.examples) for batch in case.batches],
    )  # fmt: skip


def at_words(stream: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The vectors of all words: no position of an encoder is read last."""
    return stream[batch.args[0]["attention_mask"].bool()]


def along(output: Any, batch: Batch) -> torch.Tensor:
    """There are no labels: each embedding along a random direction, in place of a loss."""
    unit = torch.nn.functional.normalize(output["sentence_embedding"], dim=1)
    return (unit * torch.randn(unit.shape, generator=torch.Generator().manual_seed(batch.examples))).sum()


class Judge:
    """Spearman on dev; of a set of layers worked out once."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.dev = subject, folder / "stsb-en-dev.csv"
        self.known: dict[Gone, float] = {}
        self.known_healed: dict[Gone, float] = {}

    def model(self, model: Any) -> float:
        return round(spearman(model, self.dev), 2)

    def without(self, gone: Gone) -> float:
        if gone not in self.known:
            self.known[gone] = self.model(self.subject.smaller(gone))
        return self.known[gone]

    def healed(self, gone: Gone, healing: Healing) -> float:
        if gone not in self.known_healed:
            self.known_healed[gone] = self.model(healing.of(self.subject.smaller(gone), len(gone)))
        return self.known_healed[gone]


def minilm(folder: Path, minutes: float) -> dict[str, Any]:
    """Every method at 4, 3 and 2 of 6 layers. minutes: of healing for each model, on more sentences; 0: none."""
    about = subject(folder)
    judge = Judge(about, folder)
    about.check()
    healing = Healing(about, list(subject(folder, HEALED_ON).batches) if minutes else [], minutes)
    ours = {f"ours {way}": chosen(about, MOST, "fidelity", way) for way in WAYS}
    found: dict[str, Any] = {"full": judge.without(()), "goals": []}
    for drop in range(2, MOST + 1):
        gone = {name: sets[drop] for name, sets in ours.items()}
        gone |= {name: rival(about, drop) for name, rival in RIVALS.items()}
        lines = {name: {"gone": numbers(each), "spearman": judge.without(each)} for name, each in gone.items()}
        run = chosen_span(about, drop)
        students = {"least squares": (run, least_squares(about, run, BERT))}
        for form in FORMS:
            students[f"{FOLDED}, {form}"] = made_up(about, drop, "fidelity", "beam 4", form)
        for name, (each, student) in students.items():
            lines[name] = {"gone": numbers(each), "spearman": judge.model(student)}
        if minutes and drop <= MOST_HEALED:
            for name in HEALED:
                each, student = students.get(name) or (gone[name], None)
                figure = judge.healed(each, healing) if student is None else judge.model(healing.of(student, drop))
                lines[f"{name}, healed"] = {"gone": numbers(each), "spearman": figure}
            found["minutes of healing"], found["steps of healing"] = minutes, dict(healing.steps)
        found[f"{6 - drop} layers"] = lines
        found["goals"] += reached(lines, drop)
        print(6 - drop, "layers", lines, flush=True)
    return found


def reached(lines: dict[str, Any], drop: int) -> list[str]:
    """What became of the goals at this depth."""
    found = []
    for (name, at), goal in GOALS.items():
        if at == drop and name in lines:
            figure = lines[name]["spearman"]
            met = "met" if figure >= goal else "missed"
            found.append(f"{name}, {6 - drop} layers: {figure}, at least {goal}: {met}")
    return found


def numbers(gone: Gone) -> list[int]:
    return [int(path.rpartition(".")[2]) for path in gone]
