"""A saved folder appears whole or not at all: whatever fails, what stood there before stands there still."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

import identikit as ik
import tiny
from identikit.errors import SaveError
from identikit.families.transformers import Transformers
from identikit.saving import folder as folders
from identikit.saving.folder import check_place, proved_folder

Seen = Callable[[], dict[str, bytes]]


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def refused(model: Any, target: Path, seen: Seen, **options: Any) -> str:
    before = seen()
    with pytest.raises(SaveError) as error:
        ik.save(model, target, **options)
    assert seen() == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_existing_folder_is_refused(bert: Any, tmp_path: Path, seen: Seen) -> None:
    ik.save(bert, tmp_path / "x")
    message = refused(bert, tmp_path / "x", seen)
    assert message.endswith("x exists already. Name another folder, or replace it with --overwrite (overwrite=True).")


def test_an_empty_folder_is_taken(bert: Any, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    ik.save(bert, tmp_path / "x")
    assert (tmp_path / "x" / "config.json").is_file()


def test_the_new_one_replaces_the_old_one_whole(bert: Any, tmp_path: Path) -> None:
    tiny.folder(tmp_path / "x", "causal")
    (tmp_path / "x" / "old_tokenizer.json").write_text("of the old model")
    ik.save(bert, tmp_path / "x", overwrite=True)
    assert not (tmp_path / "x" / "old_tokenizer.json").exists()
    assert type(ik.load(tmp_path / "x")).__name__ == "BertForSequenceClassification"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("files", [["thesis.tex"], ["config.json", "app.py"], ["model.safetensors"]])
def test_a_folder_without_a_model_is_not_overwritten(files: list[str], bert: Any, tmp_path: Path, seen: Seen) -> None:
    (tmp_path / "x").mkdir()
    for name in files:
        (tmp_path / "x" / name).write_text("{}")
    message = refused(bert, tmp_path / "x", seen, overwrite=True)
    assert message.endswith("x holds no model, so it is not replaced. Name another folder, or empty it yourself.")


def test_a_file_is_not_overwritten(bert: Any, tmp_path: Path, seen: Seen) -> None:
    (tmp_path / "x").write_text("mine")
    assert "x is a file. Name a folder" in refused(bert, tmp_path / "x", seen, overwrite=True)


def test_below_a_file(bert: Any, tmp_path: Path, seen: Seen) -> None:
    (tmp_path / "x").write_text("mine")
    assert "cannot write" in refused(bert, tmp_path / "x" / "y" / "z", seen)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("where", "error", "says"),
    [
        ("rebuild", SaveError("it does not load."), "it does not load."),
        ("rebuild", OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        ("save", OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        ("save", SafetensorError("Error while serializing: No space left on device (os error 28)"), "the disk is full"),
        ("save", SafetensorError("something else"), "something else"),
        ("save", OSError(errno.EACCES, "Permission denied"), "no permission to write in"),
    ],
)
def test_a_failure_in_the_middle(
    where: str, error: Exception, says: str, overwrite: bool, bert: Any, tmp_path: Path, seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if overwrite:
        tiny.folder(tmp_path / "x", "causal")
    monkeypatch.setattr(Transformers, where, failing(error))
    assert says in refused(bert, tmp_path / "x", seen, overwrite=overwrite)


@pytest.mark.parametrize(
    ("form", "writer"),
    [("checkpoint", "transformers.modeling_utils.safe_save_file"), ("plan", "identikit.saving.weights.save_file")],
)
def test_a_full_disk_while_weights_are_written(
    form: Any, writer: str, bert: Any, tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = failing(SafetensorError("Error while serializing: No space left on device (os error 28)"))
    monkeypatch.setattr(writer, full)
    assert "the disk is full" in refused(bert, tmp_path / "x", seen, format=form)


def test_a_defect_in_the_middle_is_not_dressed_up(bert: Any, tmp_path: Path, seen: Seen, monkeypatch: Any) -> None:
    tiny.folder(tmp_path / "x", "causal")
    before = seen()
    monkeypatch.setattr(Transformers, "rebuild", failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        ik.save(bert, tmp_path / "x", overwrite=True)
    assert seen() == before


@pytest.mark.parametrize("fails", [1, 2])
def test_a_renaming_that_fails(
    fails: int, bert: Any, tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting the old one aside, then moving the new one in: either may fail, and the old one is there again.

    Where the system cannot let both change places at one stroke.
    """
    monkeypatch.setattr(folders, "exchanged", lambda one, other: False)
    tiny.folder(tmp_path / "x", "causal")
    rename, calls = Path.rename, []

    def counted(self: Path, to: Any) -> Path:
        calls.append(to)
        if len(calls) == fails:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", counted)
    assert "Input/output error" in refused(bert, tmp_path / "x", seen, overwrite=True)


def test_an_interrupt_leaves_nothing(tmp_path: Path, seen: Seen) -> None:
    before = seen()

    def interrupted() -> None:
        with proved_folder(tmp_path / "new" / "deep" / "x") as partial:
            (partial / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen() == before


def test_folders_above_are_made(bert: Any, tmp_path: Path) -> None:
    ik.save(bert, tmp_path / "a" / "b" / "x")
    assert (tmp_path / "a" / "b" / "x" / "config.json").is_file()


def test_a_link_is_followed(bert: Any, tmp_path: Path) -> None:
    tiny.folder(tmp_path / "real", "causal")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    ik.save(bert, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert type(ik.load(tmp_path / "real")).__name__ == "BertForSequenceClassification"


def test_a_folder_in_place_of_the_model_it_came_from(tmp_path: Path) -> None:
    place = tiny.folder(tmp_path / "x", "classifier")
    model = ik.remove(ik.load(place), "bert.encoder.layer.0")
    ik.save(model, place, like=place, overwrite=True)
    assert (place / "tokenizer.json").is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(bert: Any, tmp_path: Path, seen: Seen) -> None:
    tmp_path.chmod(0o555)
    assert "no permission to write in" in refused(bert, tmp_path / "x", seen)


def test_an_unwritable_folder_for_anybody(bert: Any, tmp_path: Path, seen: Seen, monkeypatch: Any) -> None:
    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(folders.Path, "mkdir", refuse)
    assert "no permission to write in" in refused(bert, tmp_path / "x", seen)


def test_like_that_is_no_folder(bert: Any, tmp_path: Path, seen: Seen) -> None:
    assert "no folder" in refused(bert, tmp_path / "x", seen, like=tmp_path / "nowhere")


KILLED = """
    import sys, time
    from pathlib import Path
    import identikit as ik
    import tiny
    from identikit.families.transformers import Transformers
    model = ik.remove(tiny.model("classifier"), "bert.encoder.layer.1")
    def stop(self, folder, model):
        print("written", flush=True)
        time.sleep(60)
    Transformers.rebuild = stop
    ik.save(model, sys.argv[1], overwrite=True)
"""


def test_killed_in_the_middle(bert: Any, tmp_path: Path) -> None:
    """kill -9 while the new folder is proved: the old one is whole, and the next save clears what was left behind."""
    tiny.folder(tmp_path / "x", "causal")
    before = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
    tests = str(Path(__file__).parents[1])
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "x")],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": tests},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()} == before
    assert any(path.name.startswith(".x.partial-") for path in tmp_path.iterdir())
    ik.save(bert, tmp_path / "x", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_killed_between_the_two_renamings(tmp_path: Path) -> None:
    """The old one was set aside and nothing stands in its place: it comes back before anything else is done."""
    tiny.folder(tmp_path / "x", "causal")
    (tmp_path / "x").rename(tmp_path / ".x.old-0123abcd")
    shutil.copytree(tmp_path / ".x.old-0123abcd", tmp_path / ".y.old-0123abcd")
    with pytest.raises(SaveError, match="exists already"), proved_folder(tmp_path / "x"):
        raise AssertionError("not reached")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".y.old-0123abcd", "x"]


def test_two_at_once(tmp_path: Path) -> None:
    with (
        proved_folder(tmp_path / "x") as partial,
        pytest.raises(SaveError, match=r"x is being written by process \d+"),
        proved_folder(tmp_path / "x"),
    ):
        raise AssertionError("not reached")
    assert not partial.exists()
    assert (tmp_path / "x").is_dir()


def test_the_place_is_checked_without_touching_it(tmp_path: Path) -> None:
    check_place(tmp_path / "x", overwrite=False)
    assert list(tmp_path.iterdir()) == []
