"""A Site: one place where an edit can go. Frozen; holds no module and no tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from identikit.errors import PlaceError, did_you_mean


@dataclass(frozen=True)
class Site:
    """A layer and what is known of it.

    `kind` is its class, `role` is "block", "branch", "gate" or "unproved", `parameters` counts its numbers (shared ones
    once), `verdict` is "ok" or the reason why its absence is not proved to mean one thing.
    """

    path: str
    kind: str
    role: str
    parameters: int
    verdict: str

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"


class Sites(list[Site]):
    """A list of sites that prints as a table."""

    def __init__(self, sites: Iterable[Site] = (), model: str = "") -> None:
        super().__init__(sites)
        self.model = model

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        """A site by number, or by its path. Raises PlaceError for a path that is none of these."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        found = next((site for site in self if site.path == key), None)
        if found is None:
            raise PlaceError(f'"{key}" is none of these sites.{did_you_mean(key, [site.path for site in self])}')
        return found

    def __repr__(self) -> str:
        width = max((len(site.path) for site in self), default=0)
        rows = [f"{site.path:<{width}}  {site.role:<8}  {site.parameters:>13,}  {site.verdict}" for site in self]
        return "\n".join(rows) or "no sites"

    def to_markdown(self) -> str:
        """The table in Markdown."""
        from identikit.reporting.markdown import sites_markdown

        return sites_markdown(self)

    def _repr_html_(self) -> str:
        from identikit.reporting.fragment import sites_fragment

        return sites_fragment(self, self.model)
