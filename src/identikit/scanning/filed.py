"""The file that takes a scan's rows: begun once the full model is scored, gone on with, or replaced at the end."""

from __future__ import annotations

from pathlib import Path

from identikit.disk_errors import explained
from identikit.errors import SaveError
from identikit.files import check_writable, flush_folder, refuse_link
from identikit.results import Header, ScanResult
from identikit.results.scan import require_same_run


class Filed:
    """A result and where it is written. A file that is replaced stays until the new one is whole."""

    def __init__(self, to: Path | None, *, resume: bool, overwrite: bool) -> None:
        """Raises SaveError for a place that cannot take the rows; ResultError for a damaged file to go on with."""
        self.result: ScanResult
        self.begun = False
        self.stored: ScanResult | None = None
        to = to if to is None or not to.is_symlink() else to.resolve()  # what a link leads to is replaced, not the link
        self._growing = self._to = to
        self._resume, self._overwrite = resume, overwrite
        if to is None:
            return
        check_file(to, resume=resume, overwrite=overwrite)
        new = _beside(to, ".new")
        refuse_link(new)
        if to.exists() and (not resume or new.exists() or _beside(new, ".part").exists()):
            self._growing = new
        if resume and self._growing is not None and self._growing.exists():
            self.stored = ScanResult.read(self._growing)

    @property
    def lock(self) -> Path | None:
        """What whoever writes this result locks, under whichever name it grows; None where nothing is written."""
        return _beside(self._to, ".part") if self._to is not None else None

    @property
    def part(self) -> Path | None:
        """Where values are kept until they are rows: beside the file that grows; None where nothing is written."""
        return _beside(self._growing, ".part") if self._growing is not None else None

    def begin(self, header: Header) -> None:
        """Start the result."""
        if self._growing is None:
            self.result = ScanResult(header)
        else:
            self.result = ScanResult.create(self._growing, header, overwrite=self._overwrite or self._resume)
        self.begun = True

    def go_on(self, header: Header) -> None:
        """Open the stored result for more rows. Raises ResultError where it is another run's."""
        assert self._growing is not None
        self.result = ScanResult.resume(self._growing, header)
        self.begun = True

    def require_same(self, header: Header) -> None:
        """Raise ResultError where the result is not about what `header` says."""
        require_same_run(self.result.header, header, self._growing or "this result")

    def close(self, *, done: bool) -> None:
        """Close the file; without a single row it was not worth keeping. `done`: it takes the place of the old one."""
        if not self.begun:
            return
        self.result.close()
        if self._growing is None or self._to is None:
            return
        with explained(self._to):
            if not len(self.result):
                self._growing.unlink(missing_ok=True)
            elif done and self._growing != self._to:
                self._growing.replace(self._to)
                _beside(self._to, ".part").unlink(missing_ok=True)  # of the result that was replaced
                flush_folder(self._to.parent)


def check_file(to: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a file that cannot take the rows before anything is measured. Raises SaveError."""
    check_writable(to)
    if to.exists() and not (resume or overwrite):
        raise SaveError(f"{to} exists. Go on with it by --resume, replace it by --overwrite, or choose another name.")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
