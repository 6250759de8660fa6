"""Everything that broke a reader once is replayed, and some thousand spoiled inputs; what fuzzing rests on can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fuzz import targets
from fuzz.mutate import mutated
from fuzz.seeds import dictionary, findings, seeds
from fuzz.targets import TARGETS, BrokenError
from identikit.errors import PlanError, ResultError
from identikit.plan import Plan
from identikit.scanning.part import Part

FOUND = [pytest.param(name, path, id=f"{name}-{path.name}") for name, paths in findings().items() for path in paths]
SPOILED = 150  # of each seed; fuzzing itself tries hundreds of thousands


@pytest.mark.parametrize(("name", "path"), FOUND)
def test_what_broke_a_reader_once(name: str, path: Path) -> None:
    TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "places"])
def test_sound_inputs_are_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that is refused would teach the fuzzer nothing."""
    reader = "_opened" if name == "part" else "_read"
    found: list[Any] = []
    plain = getattr(targets, reader)
    monkeypatch.setattr(targets, reader, lambda *given: found.append(plain(*given)) or found[-1])
    for content in seeds()[name]:
        TARGETS[name](content)
    assert len(found) >= len(seeds()[name])
    assert all(each is not None for each in found)


def spoiled(name: str) -> Iterator[bytes]:
    for seed in seeds()[name]:
        yield from (b"", seed[: len(seed) // 2], seed[1:], seed.replace(b'"', b"'"), seed + seed, b"\xff" + seed)
        grown = seed
        for number in range(SPOILED):
            grown = mutated(grown if number % 3 else seed, number) or seed
            yield grown


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "places"])
def test_spoiled_inputs_are_read_or_refused(name: str) -> None:
    kept = set(spoiled(name))
    assert len(kept) > 0.6 * SPOILED * len(seeds()[name])
    for content in kept:
        TARGETS[name](content)


def test_a_mutation_keeps_json_and_is_the_same_for_the_same_seed() -> None:
    (content, *_) = seeds()["scan"]
    assert mutated(content, 1) == mutated(content, 1) != mutated(content, 2)
    for line in (mutated(content, 3) or b"").splitlines():
        json.loads(line)
    assert mutated(b"\x00no json", 1) is None


def test_the_dictionary_is_one_that_libfuzzer_reads() -> None:
    lines = dictionary().splitlines()
    assert r'"\x22fingerprint\x22"' in lines
    assert all(line.isascii() and line.isprintable() and line[0] == line[-1] == '"' for line in lines)


class Lying(Plan):
    """Plans that do not equal themselves once written, and readers that fail in a way that is not ours."""

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        text = Path(path).read_text()
        if text == "crash":
            raise KeyError("edits")
        if text == "long":
            raise PlanError("x" * 2_000)
        if text == "lines":
            raise PlanError("one line\nand another")
        return Plan.of([f"layers.{len(text)}"])


@pytest.mark.parametrize("text", ["crash", "long", "lines", ""])
def test_a_target_tells_a_reader_that_is_wrong(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "Plan", Lying)
    with pytest.raises(KeyError if text == "crash" else BrokenError):
        targets.plan(text.encode())


@pytest.mark.parametrize(
    "values", [None, "0.5", True, {"kl": None}, {"kl": ["1", 2]}, {"kl": [[1, 2], [3]]}, {"kl": [True]}]
)
def test_values_of_a_batch_are_numbers_and_nothing_that_python_takes_for_one(values: Any, tmp_path: Path) -> None:
    """numpy reads None as NaN, "1" and true as 1: a scan would go on with them."""
    line = {"batch": 0, "data": "d", "plan": "layers.1", "values": values}
    path = tmp_path / "scan.jsonl.part"
    top = {"format": "identikit.part", "version": 1, "run": targets.RUN}
    path.write_text("".join(json.dumps(each) + "\n" for each in (top, line)))
    part = Part(path, targets.RUN)
    with pytest.raises(ResultError, match=r", line 2.* Start anew by --overwrite\.$"):
        part.open(resume=True, overwrite=False)
    part.close(done=False)


def test_values_of_another_count_or_metric_are_no_values_of_that_batch(tmp_path: Path) -> None:
    """Their mean would be of other examples than it says."""
    path = tmp_path / "scan.jsonl.part"
    path.write_bytes(seeds()["part"][0])
    part = Part(path, targets.RUN)
    part.open(resume=True, overwrite=False)
    assert part.value(0, "layers.1", "91d3", examples=2, of=["loss", "kl"]) is not None
    for asked in ({"examples": 3}, {"of": ["kl"]}):
        with pytest.raises(ResultError, match=r"its values of the 1st batch are not of that batch"):
            part.value(0, "layers.1", "91d3", **asked)  # type: ignore[arg-type]
    part.close(done=False)
