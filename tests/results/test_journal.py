"""A scan on disk: killed, resumed, locked, on a full disk. No row that was written is ever lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sample_results as sample
from identikit.errors import ResultError, SaveError
from identikit.results import ScanResult

TESTS = Path(__file__).parents[1]


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python that runs `code` with the samples at hand."""
    start = f"import os, sys, time\nsys.path.insert(0, {str(TESTS)!r})\nimport sample_results as sample\n"
    start += "from identikit.results import ScanResult\n"
    command = [sys.executable, "-c", start + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_journal_holds_what_write_writes(tmp_path: Path) -> None:
    with ScanResult.create(tmp_path / "a.jsonl", sample.header()) as scan:
        for number in range(6):
            scan.append(sample.row(number))
            assert ScanResult.read(tmp_path / "a.jsonl") == scan  # on disk at once
        assert (tmp_path / ".a.jsonl.identikit-lock").exists()
    sample.scan().write(tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "b.jsonl"]


def test_resume_drops_only_a_truncated_last_line(tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl"
    whole = sample.scan()
    whole.write(path)
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(content)):  # cut at every byte of the last line
        path.write_bytes(content[:end])
        assert ScanResult.read(path).rows == whole.rows[:-1]
        with ScanResult.resume(path, sample.header()) as scan:
            assert scan.rows == whole.rows[:-1]
            assert path.read_bytes() == content[:last]
            scan.append(whole.rows[-1])
        assert path.read_bytes() == content


def test_resume_of_nothing_starts(tmp_path: Path) -> None:
    with ScanResult.resume(tmp_path / "new.jsonl", sample.header()) as scan:
        assert scan.rows == ()
    assert ScanResult.read(tmp_path / "new.jsonl") == ScanResult(sample.header())


def test_resume_keeps_the_first_header(tmp_path: Path) -> None:
    sample.scan().write(tmp_path / "scan.jsonl")
    with ScanResult.resume(tmp_path / "scan.jsonl", sample.header(device="cuda", notes=("again",))) as scan:
        assert scan == sample.scan()


def test_resume_of_another_scan_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl"
    sample.scan().write(path)
    path.write_bytes(path.read_bytes()[:-5])
    before = path.read_bytes()
    with pytest.raises(ResultError) as caught:
        ScanResult.resume(path, sample.header(seed=3, weights="other"))
    assert str(caught.value) == (
        f"{path} belongs to another scan; it differs in weights: b7e2d84410ffac39 and other; seed: 0 and 3 "
        "(the file's first). Scan to another file, or use --overwrite."
    )
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["scan.jsonl"]


def test_damage_before_the_last_line_names_line_and_fix(tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl"
    sample.scan().write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3][:40] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(ResultError) as caught:
        ScanResult.resume(path, sample.header())
    assert str(caught.value).startswith(f"scan file {path}, line 4 is damaged: ")
    assert str(caught.value).endswith(f" Delete that line and go on with --resume: sed -i 4d {path}")
    del lines[3]  # the fix
    path.write_bytes(b"".join(lines))
    assert len(ScanResult.read(path)) == 5


def test_create_refuses_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl"
    sample.scan().write(path)
    with pytest.raises(SaveError, match=f"^{path} exists. Go on with it by --resume, replace it by --overwrite"):
        ScanResult.create(path, sample.header())
    assert ScanResult.read(path) == sample.scan()
    ScanResult.create(path, sample.header(), overwrite=True).close()
    assert len(ScanResult.read(path)) == 0


KILLED = """
scan = ScanResult.create(sys.argv[1], sample.header())
for number in range(100_000):
    scan.append(sample.row(number % 6, places=(f"layer.{number}",)))
"""


def test_kill_9_loses_at_most_the_line_being_written(tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl"
    process = started(KILLED, path)
    try:
        seen = wait_for_lines(path, 40, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert (tmp_path / ".scan.jsonl.identikit-lock").exists()  # its holder is dead: it stops nobody
    with ScanResult.resume(path, sample.header()) as scan:
        count = len(scan)
        assert count >= seen - 1  # the header is a line too
        assert [row.place for row in scan] == [f"layer.{number}" for number in range(count)]
        for number in range(count, count + 5):
            scan.append(sample.row(number % 6, places=(f"layer.{number}",)))
    unbroken = [sample.row(number % 6, places=(f"layer.{number}",)) for number in range(count + 5)]
    assert ScanResult.read(path) == ScanResult(sample.header(), unbroken)
    assert os.listdir(tmp_path) == ["scan.jsonl"]


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = path.read_bytes().count(b"\n") if path.exists() else 0
        if lines >= count:
            return lines
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("the writer wrote too little")


def test_two_processes_do_not_write_one_scan(tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl"
    holder = started(
        "with ScanResult.create(sys.argv[1], sample.header()):\n    print('in', flush=True)\n    time.sleep(60)", path
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(SaveError) as caught:
            ScanResult.resume(path, sample.header())
        assert str(caught.value) == (
            f"{path} is being written by process {holder.pid}. Wait for it to end, or write to another file."
        )
        assert ScanResult.read(path) == ScanResult(sample.header())  # reading is no writing
    finally:
        holder.kill()
        holder.communicate()
    ScanResult.resume(path, sample.header()).close()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.jsonl"

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ScanResult.create(path, sample.header()) as scan:
        scan.append(sample.row(0))
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(SaveError, match=f"^cannot write {path}: the disk is full. Free some space"):
                scan.append(sample.row(1))
        assert path.read_bytes() == before
        assert sample.row(1) not in scan
        scan.append(sample.row(1))  # space was freed
    assert ScanResult.read(path).rows == (sample.row(0), sample.row(1))


LIMITED = """
import resource, signal
from identikit.errors import SaveError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
scan = ScanResult.create(sys.argv[1], sample.header())
size = os.path.getsize(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, resource.RLIM_INFINITY))
try:
    for number in range(6):
        scan.append(sample.row(number))
except SaveError as error:
    print(len(scan), error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for number in range(len(scan), 6):
    scan.append(sample.row(number))
"""


def test_a_row_that_fits_half_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl"
    process = started(LIMITED, path)
    said, errors = process.communicate(timeout=60)
    assert said == f"2 cannot write {path}: File too large.\n", errors
    assert ScanResult.read(path) == sample.scan()


def test_an_error_while_starting_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"does not exist. Make it: mkdir -p"):
        ScanResult.create(tmp_path / "no" / "scan.jsonl", sample.header())
    assert os.listdir(tmp_path) == []


def test_results_import_no_torch() -> None:
    code = "print({'torch', 'numpy', 'rich', 'pandas'} & {name.split('.')[0] for name in sys.modules})"
    process = started(code)
    said, errors = process.communicate(timeout=60)
    assert said == "set()\n", errors
