"""A Finding: one thing that an audit found in a model, and the list of them. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from identikit.places import natural_key


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to do.

    `kind` is the rule, such as "broadcast"; `module` the path of the layer at fault ("" is the model itself); `level`
    is "mistake" (the model does not do what its author can have meant) or "note" (worth knowing, may be meant);
    `message` says what happens, `fix` what to write instead.
    """

    kind: str
    module: str
    level: Literal["mistake", "note"]
    message: str
    fix: str


class Findings(list[Finding]):
    """A list of findings, mistakes first, each level in the order of places; prints as a table.

    `model` is the class that was audited, `looked_for` what it was audited for: no findings is an answer too.
    """

    def __init__(self, findings: Iterable[Finding] = (), model: str = "", looked_for: Iterable[str] = ()) -> None:
        super().__init__(sorted(findings, key=_order))
        self.model = model
        self.looked_for = tuple(looked_for)

    @property
    def mistakes(self) -> list[Finding]:
        """The findings that are mistakes."""
        return [finding for finding in self if finding.level == "mistake"]

    def __repr__(self) -> str:
        from identikit.reporting.findings import findings_repr

        return findings_repr(self)

    def _repr_html_(self) -> str:
        from identikit.reporting.fragment import findings_fragment

        return findings_fragment(self)


def _order(finding: Finding) -> tuple[Any, ...]:
    return finding.level != "mistake", natural_key(finding.module), finding.kind, finding.message
