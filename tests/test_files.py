"""Files are whole or not there, one process writes at a time, and every refusal names the fix."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from identikit.errors import SaveError
from identikit.files import check_writable, replacing, write_bytes, write_text
from identikit.locks import locked


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    write_bytes(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", "no bytes"])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    write_text(tmp_path / "new", "")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new").chmod(0o640)
    write_text(tmp_path / "new", "again")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_device_is_written_to_not_replaced() -> None:
    write_text("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    check_writable("/dev/null")


@pytest.mark.parametrize("verb", [lambda path: write_text(path, ""), check_writable], ids=["write", "check"])
def test_refusals_name_the_fix(tmp_path: Path, verb: object) -> None:
    (tmp_path / "file").write_text("")
    cases = [
        (tmp_path, f"{tmp_path} is a folder; name a file inside it, such as {tmp_path}/result."),
        (
            tmp_path / "no" / "a.txt",
            f"cannot write {tmp_path}/no/a.txt: the folder {tmp_path}/no does not exist. "
            f'Make it: mkdir -p "{tmp_path}/no"',
        ),
        (
            tmp_path / "file" / "a.txt",
            f"cannot write {tmp_path}/file/a.txt: {tmp_path}/file is a file, not a folder. Choose another name.",
        ),
    ]
    for path, said in cases:
        with pytest.raises(SaveError) as caught:
            verb(path)  # type: ignore[operator]
        assert str(caught.value) == said
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(
        SaveError, match=r"^cannot write /dev/full: the disk is full. Free some space, or write to another"
    ):
        write_text("/dev/full", "text")


def test_a_disk_that_fills_up_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveError, match=r"the disk is full"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "no permission to write in FOLDER. Choose a folder of your own."),
        (errno.EROFS, "FOLDER is on a read-only disk. Choose another folder."),
        (errno.EDQUOT, "the disk is full. Free some space, or write to another disk; nothing was replaced."),
        (errno.EIO, "Input/output error."),
    ],
)
def test_errors_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(SaveError) as caught:
        write_text(tmp_path / "a.txt", "new")
    assert str(caught.value).replace(str(tmp_path), "FOLDER") == f"cannot write FOLDER/a.txt: {said}"
    assert os.listdir(tmp_path) == []


READ_ONLY = """
import os, sys
from identikit.errors import SaveError
from identikit.files import check_writable
if os.getuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    check_writable(sys.argv[1])
except SaveError as error:
    print(error)
"""


def test_an_unwritable_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path("/usr") if os.getuid() else Path("/etc")  # no test user may write there
    run = subprocess.run(
        [sys.executable, "-c", READ_ONLY, folder / "x.txt"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"cannot write {folder}/x.txt: ")
    assert "no permission to write" in run.stdout or "read-only" in run.stdout


HOLD = """
import sys, time
from identikit.locks import locked
with locked(sys.argv[1]):
    print("in", flush=True)
    time.sleep(60)
"""
FORK = HOLD.replace("    time.sleep(60)", "    import os\n    time.sleep(60 if os.fork() else 1.0)\n    os._exit(0)")


def holder(path: Path, code: str = HOLD) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_a_lock_keeps_another_process_out(tmp_path: Path) -> None:
    process = holder(tmp_path / "a")
    try:
        with pytest.raises(SaveError) as caught, locked(tmp_path / "a"):
            raise AssertionError("both are in")
        assert str(caught.value) == (
            f"{tmp_path}/a is being written by process {process.pid}. Wait for it to end, or write to another file."
        )
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert os.listdir(tmp_path) == [".a.identikit-lock"]  # left behind
    with locked(tmp_path / "a"):
        assert (tmp_path / ".a.identikit-lock").read_text() == f"{os.getpid()}\n"
    assert os.listdir(tmp_path) == []


def test_a_lock_keeps_this_process_out_too(tmp_path: Path) -> None:
    with locked(tmp_path / "a"):
        with pytest.raises(SaveError, match=f"is being written by process {os.getpid()}"), locked(tmp_path / "a"):
            raise AssertionError("twice in")
        with locked(tmp_path / "b"):
            assert (tmp_path / ".b.identikit-lock").exists()
    with locked(tmp_path / "a"):
        assert (tmp_path / ".a.identikit-lock").exists()


def test_a_lock_file_of_a_dead_process_stops_nobody(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for content in (f"{gone.pid}\n", f"{os.getpid()}\n", "", "no number\n"):
        (tmp_path / ".a.identikit-lock").write_text(content)
        with locked(tmp_path / "a"):
            assert (tmp_path / ".a.identikit-lock").read_text() == f"{os.getpid()}\n"


def test_the_workers_of_a_killed_process_are_waited_for(tmp_path: Path) -> None:
    process = holder(tmp_path / "a", FORK)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()  # its child lives a second longer, and holds what it was born with
    before = time.monotonic()
    with locked(tmp_path / "a"):
        assert time.monotonic() - before < 7
    assert process.stdout is not None
    process.stdout.close()


RACE = """
import sys
from pathlib import Path
from identikit.errors import SaveError
from identikit.locks import locked
counter, done = Path(sys.argv[1]), 0
while done < 60:
    try:
        with locked(counter):
            counter.write_text(str(int(counter.read_text()) + 1))
            done += 1
    except SaveError:
        continue
"""


def test_a_race_for_the_lock_has_one_winner_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    racers = [subprocess.Popen([sys.executable, "-c", RACE, str(counter)]) for _ in range(3)]
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0, 0]
    assert counter.read_text() == "180"


def test_files_import_no_torch() -> None:
    code = "import sys, identikit.files, identikit.progress\nprint({'torch', 'numpy', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_lock_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "poetry.lock"
    theirs.write_text("theirs")
    with locked(tmp_path / "poetry"):
        assert theirs.read_text() == "theirs"
    assert theirs.read_text() == "theirs"
