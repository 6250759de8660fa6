"""ScanResult: a header and rows; one file on disk that grows a row at a time, is resumed and is merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from identikit.errors import ResultError, did_you_mean, needs_extra
from identikit.files import write_bytes
from identikit.places import natural_key
from identikit.results import journal
from identikit.results.agreement import Agreement, agreed
from identikit.results.frame import record
from identikit.results.header import Header
from identikit.results.row import Cost, Row

_SAME = 1e-6  # relative: what two machines may differ by in a row that both measured


class ScanResult:
    """What each plan did to each metric: `.header` and `.rows` (in the natural order of the places, few places first).

    Built in memory (`ScanResult(header, rows)`), read from disk (`read`), or open on disk: `create` starts a file and
    `resume` goes on with one; `append` then writes each row through before it returns. Close an open one (`close`, or
    a `with` block). Equal where header and rows are, on whichever path they came.
    """

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __init__(self, header: Header, rows: Iterable[Row] = ()) -> None:
        self.header = header
        self._rows: dict[tuple[tuple[str, ...], str, str], Row] = {}
        self._journal: journal.Journal | None = None
        for row in rows:
            self._add(row)

    @classmethod
    def read(cls, path: str | Path) -> ScanResult:
        """Read a file; a last line that was never finished is left out. Raises ResultError where it is damaged."""
        header, rows, _ = journal.read(Path(path))
        return cls(header, rows)

    def write(self, path: str | Path) -> None:
        """Write everything to `path`, replacing it only when the new file is whole. Raises SaveError."""
        write_bytes(path, journal.lines_of(self.header, self.rows))

    @classmethod
    def create(cls, path: str | Path, header: Header, *, overwrite: bool = False) -> ScanResult:
        """Start a file. Raises SaveError where it exists (unless `overwrite`), is in use or cannot be written."""
        result = cls(header)
        result._journal = journal.Journal.create(Path(path), header, overwrite=overwrite)
        return result

    @classmethod
    def resume(cls, path: str | Path, header: Header) -> ScanResult:
        """Go on with the file of a scan that was cut short; start it where there is none.

        The file's own header stays. Raises ResultError, leaving the file as it is, where `header` describes another
        measurement (model, weights, data, metrics, seed, dtype) or the file is damaged before its last line.
        """
        if not Path(path).exists():
            return cls.create(path, header)

        def check(found: Header) -> None:
            require_same_run(found, header, path)

        opened, stored, rows = journal.Journal.go_on(Path(path), check=check)
        result = cls(stored, rows)
        result._journal = opened
        return result

    def append(self, row: Row) -> None:
        """Add a row, and write it through to the disk where a file is open.

        Raises ResultError where the row is measured already or its metric is none of the header's; SaveError where
        the disk refuses it: the file then holds the rows before it, and the row is not added.
        """
        self._check(row)
        if self._journal is not None:
            self._journal.append(row)
        self._add(row)

    def close(self) -> None:
        """Close the file, where one is open. The rows stay."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def __enter__(self) -> ScanResult:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def merge(self, other: ScanResult) -> ScanResult:
        """The rows of both, under this one's header. Raises ResultError where they measured different things."""
        if differences := self.header.differences(other.header):
            raise ResultError(f"these two scans cannot be merged; they differ in {'; '.join(differences)}.")
        merged = ScanResult(self.header.united(other.header), self.rows)
        for row in other.rows:
            mine = merged._rows.get(row.key)
            if mine is None:
                merged._add(row)
            elif abs(mine.edited - row.edited) > _SAME * max(1.0, abs(mine.edited)):
                raise ResultError(
                    f'these two scans contradict each other: without "{row.place}" the {row.metric} is '
                    f"{mine.edited:.6g} in one and {row.edited:.6g} in the other. Scan that layer again."
                )
        return merged

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row: few places first, then by place in natural order, then by metric as in the header."""
        metrics = {name: number for number, name in enumerate(self.header.metrics)}

        def order(row: Row) -> Any:
            return len(row.places), tuple(map(natural_key, row.places)), row.key[1], metrics[row.metric]

        return tuple(sorted(self._rows.values(), key=order))

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScanResult):
            return NotImplemented
        return self.header == other.header and self._rows == other._rows

    @property
    def metric(self) -> str:
        """The first metric: the one that is meant where none is named."""
        return next(iter(self.header.metrics))

    def of(self, metric: str | None = None) -> tuple[Row, ...]:
        """The rows of one metric, in order. Raises ResultError where it was not measured."""
        name = self._named(metric)
        return tuple(row for row in self.rows if row.metric == name)

    def find(self, *places: str, metric: str | None = None) -> Row | None:
        """The row of plain identity edits at exactly `places`, or None where it is not measured."""
        key = tuple(sorted(places, key=natural_key)), "", self._named(metric)
        return self._rows.get(key)

    def __contains__(self, row: object) -> bool:
        """Whether what this row is about is measured already."""
        return isinstance(row, Row) and row.key in self._rows

    def cost(self, row: Row) -> Cost:
        """What the absence of the row's places costs: positive is worse, whichever direction the metric has."""
        return row.cost(higher_is_better=self.header.metrics[row.metric].higher_is_better)

    def ranked(self, metric: str | None = None) -> tuple[Row, ...]:
        """The rows of one metric, the cheapest absence first; those of a race in its order."""
        rows = self.of(metric)
        raced = all(row.rank is not None for row in rows)
        return tuple(sorted(rows, key=lambda row: (row.rank or 0) if raced else self.cost(row).value))

    def best(self, metric: str | None = None) -> Row:
        """The row whose places are missed least. Raises ResultError where there are no rows."""
        ranked = self.ranked(metric)
        if not ranked:
            raise ResultError("this scan has no rows yet, so none is the best.")
        return ranked[0]

    def agreement(self, cheap: str | None = None, exact: str | None = None) -> Agreement | None:
        """How well a cheap ranking agrees with the exact one; the first of each where None. None: fewer than 3 rows."""

        def costs(name: str) -> dict[object, float]:
            return {row.key[:2]: self.cost(row).value for row in self.of(name)}

        return agreed(list(self.header.metrics), costs, cheap, exact)

    def to_frame(self) -> Any:
        """The rows as a pandas DataFrame, with what each place's layer costs in a pass."""
        try:
            import pandas as pd
        except ImportError as cause:
            raise needs_extra("pandas", "hf", "to_frame()") from cause
        return pd.DataFrame([record(self.header, row, self.cost(row)) for row in self.rows])

    def _named(self, metric: str | None) -> str:
        name = self.metric if metric is None else metric
        if name not in self.header.metrics:
            known = self.header.metrics
            raise ResultError(
                f'no metric "{name}" in this scan, which has {", ".join(known)}.{did_you_mean(name, known)}'
            )
        return name

    def _check(self, row: Row) -> None:
        self._named(row.metric)
        if row.key in self._rows:
            raise ResultError(f'"{row.place}" is measured already by {row.metric} in this scan.')

    def _add(self, row: Row) -> None:
        self._check(row)
        self._rows[row.key] = row

    def plot(self, metric: str | None = None, *, ax: Any = None) -> Any:
        """Matplotlib axes: what each layer's absence costs, with its interval. On `ax`, or on those of a new figure."""
        from identikit.reporting.plots import plot_costs

        return plot_costs(self, metric, ax=ax)

    def report(self, to: str | Path = "report.html") -> Path:
        """Write one self-contained HTML page and return its path."""
        from identikit.reporting.html import report

        return report(self, to)

    def to_markdown(self) -> str:
        """The table of the rows in Markdown."""
        from identikit.reporting.markdown import scan_markdown

        return scan_markdown(self)

    def __repr__(self) -> str:
        from identikit.reporting.text import scan_repr

        return scan_repr(self)

    def _repr_html_(self) -> str:
        from identikit.reporting.fragment import scan_fragment

        return scan_fragment(self)


def require_same_run(stored: Header, header: Header, path: str | Path) -> None:
    """Raise ResultError, naming what differs, where `header` is about another measurement than the file's."""
    if differences := stored.differences(header):
        raise ResultError(
            f"{path} belongs to another scan; it differs in {'; '.join(differences)} (the file's first). "
            "Scan to another file, or use --overwrite."
        )
