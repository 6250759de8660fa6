"""How a model came to be, for its card: a section a step, its figures in a table, and what they are worth."""

from __future__ import annotations

import re
from collections.abc import Sequence

from identikit.reporting import numbers
from identikit.reporting.grids import Grid
from identikit.reporting.markdown import escape, markdown
from identikit.results.provenance import Figure, Provenance, Step

_STALE = (
    "**These are not the figures of the model in this folder**: it has been changed since (layers, weights or their "
    "precision), or it cannot be shown that it has not. They are those of the model as it was then."
)


def steps(provenance: Provenance, holds: Sequence[bool], *, edited: bool) -> list[str]:
    """A section for each step; of an `edited` model without one, that nothing is known.

    holds: of each step, whether its figures are still those of the model that the card is about.
    """
    if not provenance.steps:
        none = "How it was chosen is not known here, and nothing was measured: this card has no figures."
        return [f"## How it came about\n\n{none}"] if edited else []
    return [
        "\n\n".join([f"## How it came about: {escape(step.verb)}", *_step(step, still)])
        for step, still in zip(provenance.steps, holds, strict=True)
    ]


def _step(step: Step, holds: bool) -> list[str]:
    said = [f"Goal: {escape(numbers.clean(step.goal))}."] if step.goal else []
    said += [" ".join(escape(numbers.clean(sentence)) for sentence in step.said)] if step.said else []
    if step.figures:
        said += [markdown(_grid(step.figures)), _judged(step.figures)]
        said += [] if holds else [_STALE]
    else:
        said.append("Nothing was measured.")
    return [*said, fenced(numbers.clean(step.command), "bash")] if step.command else said


def _grid(figures: Sequence[Figure]) -> Grid:
    """Each metric: the full model, before the step, after it, the difference with its interval, on what."""
    before = any(figure.before is not None for figure in figures)
    heads = ("metric", "full model", *(["before"] if before else []), "this model", "difference", "interval", "on")
    rows = []
    for figure in figures:
        scores = [figure.full, *([figure.before] if before else []), figure.edited]
        digits = _digits(figure)
        shown = [numbers.fixed(value, digits) if value is not None else "" for value in scores]
        gap = "" if figure.full is None else numbers.fixed(figure.edited - figure.full, digits, sign=True)
        better = "higher" if figure.higher_is_better else "lower"
        rows.append(
            (f"{numbers.clean(figure.metric)} ({better} is better)", *shown, gap, _interval(figure), _on(figure))
        )
    count = len(heads)
    return Grid(heads, tuple(rows), tuple(0 < number < count - 1 for number in range(count)))


def _digits(figure: Figure) -> int:
    """Decimals that the interval warrants; without one, four digits."""
    errors = [] if figure.low is None or figure.high is None else [(figure.high - figure.low) / 2]
    scores = [value for value in (figure.full, figure.before, figure.edited) if value]
    return numbers.decimals_of(scores, errors) + (0 if any(errors) else 1)


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return "none"
    low, high = (numbers.fixed(value, _digits(figure), sign=True) for value in (figure.low, figure.high))
    sure = numbers.fixed(100 * figure.confidence, 1).removesuffix(".0") + " %: " if figure.confidence else ""
    return f"{sure}{low} to {high}"


def _on(figure: Figure) -> str:
    if figure.data is None:
        return "not said"
    name = numbers.clean(figure.data.name or "the data")
    name += f" ({figure.data.fingerprint})" if figure.data.fingerprint else ""
    name = f"{numbers.plural(figure.data.examples, 'example')} of {name}" if figure.data.examples else name
    return name if figure.chosen_on else f"{name}, held out"


def _judged(figures: Sequence[Figure]) -> str:
    chosen = [figure for figure in figures if figure.chosen_on]
    if not chosen:
        return "Measured on examples that were held out."
    if len(chosen) < len(figures):
        return "What was held out was not searched on; the other figures are of the examples that were, and flatter."
    return "Measured on the very examples that it was decided on, which flatters."


def fenced(text: str, language: str) -> str:
    """`text` as a block of code, whatever backticks it holds."""
    ticks = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"
