"""A prune's curve as one step of a model's provenance: what was chosen there, how, and its figures.

What a curve says of its points is read here and nowhere else on the way to a model card.
"""

from __future__ import annotations

from collections.abc import Mapping

from identikit.results.compensated import Compensated
from identikit.results.front import Front, Point
from identikit.results.header import DataInfo, Header
from identikit.results.provenance import Figure, Step
from identikit.results.row import Score

_METHODS = {
    "greedy": "Greedy search: after each layer that went, every layer that was left was measured again.",
    "beam": "Beam search: of each size the best few sets of layers went on; every set was measured.",
    "span": "Of each length the best run of neighbouring layers; every run was measured.",
}


def chosen_step(front: Front, *, method: str = "", verb: str = "prune", at: Point | None = None) -> Step:
    """The step that took the chosen point of `front`, or the point `at` of it.

    method: the search's name, where it is known. Its `state` is still to be given: only who holds the model knows it.
    """
    point = front.choice if at is None else at
    chosen = point == front.choice
    said = [_METHODS[method]] if method in _METHODS else []
    made_up = point.compensated if verb == "prune" else None  # a point of the curve is applied as the layers dropped
    sentences = front.why if made_up is None else front.said
    said += sentences if chosen else [f"Taken from the curve of a prune: the point with {point.dropped} dropped."]
    header = front.header
    return Step(
        verb,
        said=tuple(said),
        goal=front.goal if chosen else "",
        figures=figures_of(front, point) if made_up is None else _made_up(front, made_up),
        name=header.name,
        command=header.command,
        versions=header.versions,
    )


def figures_of(front: Front, point: Point) -> tuple[Figure, ...]:
    """What was measured of the model at `point`: on what the search did not see first; of the full model nothing."""
    if not point.places:
        return ()
    judged = front.header.data
    if front.chosen_on is None:
        return _figures(front, point.scores, judged, chosen_on=True)
    held_out = _figures(front, point.scores, judged, chosen_on=False)
    search = _figures(front, point.selection, front.chosen_on, chosen_on=True)
    return held_out + tuple(figure for figure in search if figure not in held_out)  # a score is measured once


def _made_up(front: Front, done: Compensated) -> tuple[Figure, ...]:
    """What was measured of a model made up for; where nothing was held out, its examples decided what was kept."""
    return _figures(front, done.scores, front.header.data, chosen_on=front.chosen_on is None)


def _figures(front: Front, scores: Mapping[str, Score], data: DataInfo, *, chosen_on: bool) -> tuple[Figure, ...]:
    found = []
    for name, score in scores.items():
        info, whole = front.header.metrics[name], scores_a_model(front.header, name)
        found.append(
            Figure(
                metric=name,
                edited=score.edited,
                full=score.full,
                low=score.low,
                high=score.high,
                confidence=None if score.low is None else info.confidence,
                higher_is_better=info.higher_is_better,
                data=DataInfo("the score's own data", "", 0) if whole else data,
                chosen_on=whole or chosen_on,
            )
        )
    return tuple(found)


def scores_a_model(header: Header, metric: str) -> bool:
    """Whether `metric` is a user's evaluator of whole models (`score=`), on data of its own: a note says so."""
    return any(note.startswith(f"{metric} scores a whole model") for note in header.notes)
