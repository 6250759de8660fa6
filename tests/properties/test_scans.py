"""Scans on disk: what is read is what was written, in any order, from any part; never something else."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identikit.errors import ResultError
from identikit.results import Front, Header, Row, ScanResult
from properties import strategies as draw
from properties.outcome import read_or_refused


def folder(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("results")


@given(draw.headers(), draw.some_rows(), st.randoms())
@settings(max_examples=40)
def test_what_was_appended_is_read(
    tmp_path_factory: pytest.TempPathFactory, header: Header, rows: list[Row], chance: random.Random
) -> None:
    path = folder(tmp_path_factory) / "scan.jsonl"
    with ScanResult.create(path, header) as scan:
        for row in rows:
            scan.append(row)
    read = ScanResult.read(path)
    assert read == scan == ScanResult(header, rows)
    assert sorted(map(repr, read)) == sorted(map(repr, rows))
    chance.shuffle(rows)
    assert ScanResult(header, rows).rows == read.rows
    read.write(path)
    first = path.read_bytes()
    ScanResult(header, rows).write(path)
    assert path.read_bytes() == first


@given(draw.headers(), draw.some_rows(8), st.integers(1, 4), st.randoms())
@settings(max_examples=60)
def test_parts_merged_in_any_order_are_the_whole(
    header: Header, rows: list[Row], count: int, chance: random.Random
) -> None:
    shares: list[list[Row]] = [[] for _ in range(count)]
    for row in rows:
        for share in chance.sample(shares, chance.randint(1, count)):  # some rows are measured several times
            share.append(row)
    parts = [ScanResult(header, share) for share in shares]
    while len(parts) > 1:
        chance.shuffle(parts)
        parts.append(parts.pop().merge(parts.pop()))
    whole = ScanResult(header, rows)
    assert parts[0] == whole
    assert parts[0].rows == whole.rows


@given(draw.some_rows(3), draw.rows(), st.floats(1e-3, 1e3))
@settings(max_examples=30)
def test_parts_that_contradict_each_other_do_not_merge(rows: list[Row], odd: Row, apart: float) -> None:
    header = draw.sample.header(metrics={name: draw.MetricInfo(True, 1.0) for name in ("loss", "fidelity")})
    apart *= max(1.0, abs(odd.edited))
    other = replace(odd, edited=odd.edited + apart, effect=odd.edited + apart - odd.full)
    rest = [row for row in rows if row.key != odd.key]
    one, two = ScanResult(header, [*rest, odd]), ScanResult(header, [*rest, other])
    for pair in ((one, two), (two, one)):
        with pytest.raises(ResultError, match=r"^these two scans contradict each other: "):
            pair[0].merge(pair[1])


@given(draw.headers(), draw.some_rows(4), st.data())
@settings(max_examples=40)
def test_a_file_cut_at_any_byte_is_a_shorter_scan_that_can_be_finished(
    tmp_path_factory: pytest.TempPathFactory, header: Header, rows: list[Row], data: st.DataObject
) -> None:
    path = folder(tmp_path_factory) / "scan.jsonl"
    with ScanResult.create(path, header) as scan:
        top = path.stat().st_size
        for row in rows:
            scan.append(row)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)) | st.integers(top, len(whole)))
    path.write_bytes(whole[:cut])
    if cut < top:
        for opened in (lambda: ScanResult.read(path), lambda: ScanResult.resume(path, header)):
            with pytest.raises(ResultError, match=r"no whole line"):
                opened()
        assert path.read_bytes() == whole[:cut]
        return
    there = rows[: whole[top:cut].count(b"\n")]
    assert ScanResult.read(path) == ScanResult(header, there)
    with ScanResult.resume(path, header) as scan:
        assert scan == ScanResult(header, there)
        for row in rows[len(there) :]:
            scan.append(row)
    assert path.read_bytes() == whole


@given(draw.headers(), draw.some_rows(2), st.data())
@settings(max_examples=80)
def test_a_scan_with_one_byte_spoiled_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: Header, rows: list[Row], data: st.DataObject
) -> None:
    path = folder(tmp_path_factory) / "scan.jsonl"
    ScanResult(header, rows).write(path)
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    content[where : where + data.draw(st.integers(0, 1))] = data.draw(
        st.sampled_from([b"", b"\n", b'"', b"\\", b"{", b"-", b"9", b"\x00"]) | st.binary(max_size=1)
    )
    path.write_bytes(content)
    read = read_or_refused(lambda: ScanResult.read(path), ResultError)
    if read is not None:
        assert len(read) <= len(rows)
        read.write(path)
        assert ScanResult.read(path) == read


@pytest.mark.parametrize("kind", ["name", "command", "notes"])
def test_a_name_that_is_no_text_does_not_lose_a_scan(tmp_path: Path, kind: str) -> None:
    """A folder may be called by bytes that are no text; Python then holds half characters, which no file can."""
    half = "model\udcff"
    header = draw.sample.header(**{kind: (half,) if kind == "notes" else half})
    path = tmp_path / "scan.jsonl"
    with ScanResult.create(path, header) as scan:
        scan.append(draw.sample.row(0))
    assert ScanResult.read(path).rows == scan.rows
    with ScanResult.resume(path, header) as again:
        assert len(again) == 1
    replace(draw.sample.front(), header=header).write(tmp_path / "front.json")
    assert Front.read(tmp_path / "front.json").points == draw.sample.front().points
