"""Data files from a stranger: numbers, texts and pictures, whatever else is in them."""

from __future__ import annotations

import gc
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from identikit.errors import DataError
from identikit.sources import Opened, open_model, read_data
from identikit.sources import npz as npz_file
from identikit.sources.tables import read_table
from security.traps import Bomb, pickled, refused

FORMULAS = ["=cmd|' /C calc'!A0", "@SUM(1+1)", "+1+1", "-2+3", '=HYPERLINK("http://127.0.0.1")', "\ttab"]


def read(file: Path, model: nn.Module | None = None) -> Any:
    return read_data(file, Opened(model or nn.Linear(2, 2), "mine"))


@pytest.mark.parametrize("dtype", [object, None], ids=["objects", "a bare pickle"])
def test_arrays_that_hold_code(dtype: Any, tmp_path: Path, bomb: Bomb) -> None:
    file = tmp_path / "a.npz"
    if dtype is None:
        file.write_bytes(pickled(bomb))
    else:
        np.savez(file, x=np.array([bomb, bomb], dtype=object), y=np.ones(2))
        assert "holds Python objects, which are not read" in refused(lambda: read(file), DataError)
    refused(lambda: read(file), DataError)


def test_arrays_larger_than_memory_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of zeros is a kilobyte in the file: a file of any size may unpack to more than there is."""
    file = tmp_path / "a.npz"
    np.savez_compressed(file, x=np.zeros((2**16, 2)))
    assert file.stat().st_size < 2**13
    monkeypatch.setattr(npz_file, "_memory", lambda: 2**20)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    assert refused(lambda: read(file), DataError) == (
        f'"{file}" is 1,048,704 bytes unpacked, more than the 1,048,576 of this machine\'s memory. Save fewer examples.'
    )


def test_this_machine_has_memory() -> None:
    memory = npz_file._memory()
    assert memory is None or memory > 2**28


@pytest.mark.parametrize("shape", ["(1000000000000, 1000)", "(-1, 2)", "(2, 2, __import__('os').abort())", "()" * 999])
def test_a_header_that_lies(shape: str, tmp_path: Path) -> None:
    """An array's header is a text of Python, which says how much to allocate."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(64))
    assert "cannot be read as .npz" in refused(lambda: read(tmp_path / "a.npz"), DataError)


def test_names_in_an_archive_write_nothing(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    np.savez(whole, x=np.ones((2, 2)))
    with zipfile.ZipFile(whole) as file:
        content = file.read("x.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in ("../../evil.npy", "/evil.npy", "x.npy"):
            file.writestr(name, content)
    assert read(tmp_path / "a.npz").examples == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "whole.npz"]


def test_formulas_are_texts(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    cells = ['"' + cell.replace('"', '""') + '",1' for cell in FORMULAS]
    file.write_text("\n".join(["text,label", *cells]) + "\n")
    assert read_table(file)["text"] == FORMULAS


TABLES: dict[str, tuple[str, bytes]] = {
    "a field without an end": ("a.csv", b'text,label\n"' + b"x" * 200_000),
    "a huge field": ("a.csv", b"text,label\n" + b"x" * 200_000 + b",1\n"),
    "no UTF-8": ("a.csv", b"text,label\n\xff\xfe,1\n"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
    "deep JSON": ("a.jsonl", b'{"text": ' + b"[" * 100_000 + b"\n"),
    "no JSON": ("a.jsonl", b"\x80\x04\x95"),
    "no table": ("a.parquet", b"PAR1" + bytes(64) + b"PAR1"),
    "a zip": ("a.parquet", b"PK\x03\x04" + bytes(64)),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_none(name: str, tmp_path: Path) -> None:
    file = tmp_path / TABLES[name][0]
    file.write_bytes(TABLES[name][1])
    refused(lambda: read_table(file), DataError)


def test_a_pickle_is_no_table(tmp_path: Path, bomb: Bomb) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet", "a.txt"):
        (tmp_path / name).write_bytes(pickled(bomb))
        refused(lambda name=name: read_table(tmp_path / name), DataError)  # type: ignore[misc]


def test_a_picture_that_unpacks_to_gigabytes(tmp_path: Path, made: Path) -> None:
    """A few bytes that say they are 60,000 by 60,000 pixels."""
    place = tmp_path / "pictures" / "cat"
    place.mkdir(parents=True)
    size = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    (place / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    opened = open_model(made / "vit")
    said = refused(lambda: read_data(tmp_path / "pictures", opened), DataError)
    assert "a picture of" in said
    assert "DecompressionBombError" in said


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def test_a_picture_that_is_none(tmp_path: Path, made: Path, bomb: Bomb) -> None:
    place = tmp_path / "pictures" / "cat"
    place.mkdir(parents=True)
    (place / "a.png").write_bytes(pickled(bomb))
    assert "a picture of" in refused(lambda: read_data(tmp_path / "pictures", open_model(made / "vit")), DataError)


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and what was asked for there."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as serving:
        thread = Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/picture.png", asked
        serving.shutdown()
        thread.join()


def parquet(path: Path, feature: dict[str, Any], where: str | None, content: bytes | None) -> Path:
    """A table of one row whose picture is named by a path or an address."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    told = {"huggingface": json.dumps({"info": {"features": {"image": feature}}})}
    rows = pa.array([{"bytes": content, "path": where}], type=kind)
    if feature.get("_type") == "List":
        rows = pa.array([[{"bytes": content, "path": where}]], type=pa.list_(kind))
    pq.write_table(pa.table({"image": rows}).replace_schema_metadata(told), path)
    return path


def test_a_picture_elsewhere_is_neither_fetched_nor_opened(
    tmp_path: Path, made: Path, server: tuple[str, list[str]]
) -> None:
    """A column of Parquet may say that it holds pictures, and name any file or address instead."""
    address, asked = server
    Image.new("RGB", (16, 16)).save(tmp_path / "secret.png")
    opened = open_model(made / "vit")
    for where in (address, str(tmp_path / "secret.png"), "secret.png"):
        file = parquet(tmp_path / "a.parquet", {"_type": "Image"}, where, None)
        assert "names a picture elsewhere" in refused(lambda file=file: read_data(file, opened), DataError)  # type: ignore[misc]
        for kind in ({"_type": "Audio"}, {"_type": "List", "feature": {"_type": "Image"}}):
            file = parquet(tmp_path / "a.parquet", kind, where, None)
            refused(lambda file=file: read_data(file, opened), DataError)  # type: ignore[misc]
    held = parquet(tmp_path / "a.parquet", {"_type": "Image"}, address, (tmp_path / "secret.png").read_bytes())
    assert read_data(held, opened).examples == 1
    assert asked == []


def test_a_list_of_pictures_that_leads_out_of_its_folder(tmp_path: Path, made: Path) -> None:
    place = tmp_path / "pictures"
    place.mkdir()
    for file in (tmp_path / "secret.png", place / "own.png"):
        Image.new("RGB", (16, 16)).save(file)
    for where in ("../secret.png", str(tmp_path / "secret.png")):
        (place / "metadata.csv").write_text(f"file_name,label\n{where},0\n")
        with left_open():
            refused(lambda: read_data(place, open_model(made / "vit")), DataError)


@contextmanager
def left_open() -> Iterator[None]:
    """The datasets library leaves a list of pictures open where it refuses what is in it: the file is closed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def test_a_saved_dataset_that_is_none(tmp_path: Path, bomb: Bomb) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../x.arrow"}], "_fingerprint": "a"}))
    (tmp_path / "x.arrow").write_bytes(pickled(bomb))
    refused(lambda: read_table(tmp_path), DataError)


def test_no_example_of_the_data_is_run(tmp_path: Path, flag: Path, folder: Callable[[str], Path]) -> None:
    """A text that looks like a file of Python, or names one, is a text."""
    file = tmp_path / "a.csv"
    (tmp_path / "mine.py").write_text(f"from pathlib import Path\nPath({str(flag)!r}).touch()\n")
    file.write_text(f"text\n{tmp_path}/mine.py:run\n__import__('os').abort()\n")
    batches = list(read_data(file, open_model(folder("bert"))))
    assert isinstance(batches[0].kwargs["input_ids"], torch.Tensor)
