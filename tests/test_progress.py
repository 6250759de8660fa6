"""Bars are drawn where a person watches, and nowhere else."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from identikit.progress import Board, board


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None, legacy_windows=False)


def drawn(progress: bool | None, *, terminal: bool) -> str:
    screen = console(terminal=terminal)
    with board(progress, console=screen) as bars, bars.bar("scan", 3) as bar:
        for _ in range(3):
            bar.say("encoder.layer.[1]")  # no markup
            bar.advance()
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"),
    [(None, True, True), (None, False, False), (True, False, True), (True, True, True), (False, True, False)],
)
def test_where_bars_are_drawn(progress: bool | None, terminal: bool, shown: bool) -> None:
    said = drawn(progress, terminal=terminal)
    assert ("scan" in said and "3/3" in said) is shown
    assert bool(said) is shown


def test_nothing_is_written_by_default_off_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with board() as bars:
        assert list(bars.track(["a", "b"], "read")) == ["a", "b"]
    assert capfd.readouterr() == ("", "")


def test_bars_go_to_the_error_stream(capfd: pytest.CaptureFixture[str]) -> None:
    with board(True) as bars, bars.bar("scan", 1) as bar:
        bar.advance()
    out, err = capfd.readouterr()
    assert out == ""
    assert "scan" in err


def test_a_board_is_handed_on() -> None:
    screen = console(terminal=True)
    with board(True, console=screen) as outer, outer.bar("prune", 1) as bar:
        with board(outer) as inner, inner.bar("round", 5) as steps:
            assert inner is outer
            steps.advance(5)
        bar.advance()
    assert isinstance(screen.file, io.StringIO)
    said = screen.file.getvalue()
    assert "5/5" in said or "round" in said
    assert "1/1" in said[said.rfind("round") :]  # the inner bar is gone when it ends, the outer one stays


def test_a_silent_board_takes_everything() -> None:
    with board(False) as bars, bars.bar("scan") as bar:
        bar.say("x")
        bar.advance()
    assert isinstance(bars, Board)


def test_an_error_inside_goes_through() -> None:
    with pytest.raises(KeyError), board(True, console=console(terminal=True)) as bars, bars.bar("scan", 3):
        raise KeyError("x")
    with board(True, console=console(terminal=True)) as bars:  # drawing starts again
        assert list(bars.track(iter([1]), "again")) == [1]
