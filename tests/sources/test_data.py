"""Files as data for real and tiny models: what becomes of the columns, and what is refused in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from identikit.errors import DataError
from identikit.sources import Opened, open_model, read_data

PAIRS = [
    ("A man is playing.", "The man plays.", 4.5),
    ("A plane is taking off, large.", "A plane.", 3.0),
    ("NA", "null", 1.25),
]


@pytest.fixture(scope="module")
def sentences(minilm_path: Path) -> Opened:
    """The real MiniLM."""
    return open_model(minilm_path)


@pytest.fixture(scope="module")
def judge(classifier: Path) -> Opened:
    """A tiny classifier: Negative, Positive."""
    return open_model(classifier)


@pytest.fixture(scope="module")
def writer(llama: Path) -> Opened:
    """A tiny language model."""
    return open_model(llama)


def write(path: Path, text: str) -> Path:
    """`text` in a file."""
    path.write_text(text, encoding="utf-8")
    return path


def csv(path: Path, *, header: str = "") -> Path:
    """The pairs as CSV."""
    rows = [f'"{a}","{b}",{score}' for a, b, score in PAIRS]
    return write(path, "\n".join([*([header] if header else []), *rows]) + "\n")


def refused(file: Path | str, opened: Opened, **options: Any) -> str:
    """The message that reading `file` ends in: one line."""
    with pytest.raises(DataError) as caught:
        read_data(file, opened, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Pairs of sentences


def every_kind(folder: Path) -> list[Path]:
    """The pairs in each kind of file."""
    from datasets import Dataset

    rows = [{"first": a, "second": b, "score": score} for a, b, score in PAIRS]
    Dataset.from_list(rows).to_parquet(folder / "pairs.parquet")
    return [
        csv(folder / "named.csv", header="first,second,score"),
        csv(folder / "bom.csv", header="\ufefffirst,second,score"),
        csv(folder / "bare.csv"),
        write(folder / "semicolon.csv", "".join(f"{a.replace(',', '')};{b};{c}\n" for a, b, c in PAIRS)),
        write(folder / "pairs.tsv", "a\tb\tc\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in PAIRS)),
        write(folder / "pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        write(folder / "pairs.json", json.dumps(rows)),
        folder / "pairs.parquet",
    ]


def test_pairs_in_each_kind_of_file(sentences: Opened, tmp_path: Path) -> None:
    tokenizer: Any = sentences.tokenizer
    for file in every_kind(tmp_path):
        data = read_data(file, sentences)
        (batch,) = data
        assert (data.examples, len(data), data.name) == (3, 1, str(file))
        assert batch.target.tolist() == [4.5, 3.0, 1.25]
        rows = tokenizer.batch_decode(batch.args[0]["input_ids"], skip_special_tokens=True)
        assert rows[0] == "a man is playing."
        assert rows[1] == "the man plays."
        assert rows[4:] == ["na", "null"]  # words, not holes


def test_embeddings_are_those_of_the_library(sentences: Opened, tmp_path: Path) -> None:
    model: Any = sentences.model
    (batch,) = read_data(csv(tmp_path / "pairs.csv"), sentences)
    found = batch.call(model)["sentence_embedding"]
    meant = model.encode([text for a, b, _ in PAIRS for text in (a, b)])
    torch.testing.assert_close(found, torch.from_numpy(meant), atol=1e-5, rtol=0)


def test_batches_keep_the_order_and_can_be_read_again(sentences: Opened, tmp_path: Path) -> None:
    data = read_data(csv(tmp_path / "pairs.csv"), sentences, batch_size=2)
    for _ in range(2):
        batches = list(data)
        assert [batch.examples for batch in batches] == [2, 1]
        assert [len(batch.args[0]["input_ids"]) for batch in batches] == [4, 2]
        for batch in batches:
            batch.call(sentences.model)  # writes into the dict it is given
    assert torch.cat([batch.target for batch in data]).tolist() == [4.5, 3.0, 1.25]
    again = read_data(csv(tmp_path / "pairs.csv"), sentences, batch_size=2)
    assert again.fingerprint == data.fingerprint != read_data(csv(tmp_path / "pairs.csv"), sentences).fingerprint


def test_limit_and_max_length(sentences: Opened, tmp_path: Path) -> None:
    file = csv(tmp_path / "pairs.csv")
    (batch,) = read_data(file, sentences, limit=2, max_length=5)
    assert batch.examples == 2
    assert batch.args[0]["input_ids"].shape == (4, 5)
    model: Any = sentences.model
    assert model.max_seq_length == 256
    assert refused(file, sentences, max_length=512) == (
        "--max-length 512 is more than the model reads. Give at most 256."
    )
    assert refused(file, sentences, limit=0) == "--limit=0 keeps nothing. Give 1 or more, or leave it out."


def test_one_sentence_alone(sentences: Opened, tmp_path: Path) -> None:
    file = csv(tmp_path / "pairs.csv", header="first,second,score")
    (batch,) = read_data(file, sentences, text="second")
    assert len(batch.args[0]["input_ids"]) == batch.examples == 3
    (batch,) = read_data(write(tmp_path / "lines.txt", "One line.\n\nAnother line.\n"), sentences)
    assert (batch.examples, batch.target) == (2, None)


def test_columns_by_name_and_by_number(sentences: Opened, tmp_path: Path) -> None:
    named = csv(tmp_path / "named.csv", header="first,second,score")
    bare = csv(tmp_path / "bare.csv")
    (swapped,) = read_data(named, sentences, text="second", text_pair="first", target="score")
    (numbered,) = read_data(bare, sentences, text="1", text_pair="0", target="2")
    assert torch.equal(swapped.args[0]["input_ids"], numbered.args[0]["input_ids"])
    assert read_data(named, sentences).reads == 'text "first", text pair "second", target "score"'


def test_a_first_row_of_words(sentences: Opened, tmp_path: Path) -> None:
    # Two columns of words: a sentence is no name, and neither is a word that comes again.
    bare = write(tmp_path / "a.csv", "It was a good film.,It was bad.\nIt was large.,It was.\n")
    assert read_data(bare, sentences).examples == 2
    again = write(tmp_path / "b.csv", "hello,good\nthere,good\n")
    assert read_data(again, sentences).examples == 2
    named = write(tmp_path / "c.csv", "question,answer\nhow,well\n")
    assert read_data(named, sentences).examples == 1
    assert read_data(named, sentences, no_header=True).examples == 2
    odd = write(tmp_path / "d.csv", "What was asked?,What was said?\nhow,well\n")
    assert read_data(odd, sentences).examples == 2
    assert read_data(odd, sentences, text="What was asked?", text_pair="What was said?").examples == 1


# What is refused


def test_column_that_is_not_there(sentences: Opened, tmp_path: Path) -> None:
    named = csv(tmp_path / "named.csv", header="first,second,score")
    assert refused(named, sentences, text="frist") == (
        f'no column "frist" in "{named}". Did you mean "first"? Columns: "first", "second", "score". '
        "Give one of them to --text."
    )
    bare = csv(tmp_path / "bare.csv")
    assert refused(bare, sentences, target="score") == (
        f'no column "score" in "{bare}". The file has no header, so columns are numbered. '
        'Columns: "0", "1", "2". Give one of them to --target.'
    )
    assert refused(named, sentences, text="first", text_pair="first") == (
        'column "first" is given twice; --text, --text-pair and --target name different columns.'
    )


def test_columns_that_are_not_plain(sentences: Opened, writer: Opened, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "a,b,c,x,z\nwas it,a man,the film,1,2\nit was,the man,a film,1,3\n")
    assert refused(file, sentences) == (
        f'"{file}" has 3 columns of text: "a", "b", "c". '
        "Say which is meant: --text COLUMN (and --text-pair COLUMN for pairs)."
    )
    assert refused(file, sentences, text="a") == (
        f'"{file}" has 2 columns of numbers: "x", "z". Say which is the target: --target COLUMN.'
    )
    assert read_data(file, sentences, text="a", target="z").examples == 2
    pairs = csv(tmp_path / "pairs.csv", header="first,second,score")
    assert refused(pairs, writer) == (
        f'"{pairs}" has 2 columns of text: "first", "second". Say which is meant: --text COLUMN.'
    )
    assert refused(pairs, writer, text="first", target="score") == (
        "--target is not for text-generation: the text is its own target. Leave it out."
    )
    numbers = write(tmp_path / "n.csv", "x,y\n1,2\n3,4\n")
    assert refused(numbers, sentences) == (
        f'"{numbers}" has no column of text. Columns: "x", "y". Name one: --text COLUMN.'
    )
    named = write(tmp_path / "named.csv", "id,text,length,label\n1,a man,2,0\n2,the man,2,1\n")
    assert read_data(named, sentences).reads == 'text "text", target "label"'


def test_empty_files(sentences: Opened, tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.txt", "a.parquet"):
        file = write(tmp_path / name, "")
        assert refused(file, sentences) == f'"{file}" is empty. Give at least one row.'
    header = write(tmp_path / "header.csv", "first,second,score\n")
    assert refused(header, sentences) == f'"{header}" holds no rows. Give at least one.'
    blank = write(tmp_path / "blank.txt", "\n \n")
    assert refused(blank, sentences) == f'"{blank}" holds no rows. Give at least one.'


def test_damaged_files(sentences: Opened, tmp_path: Path) -> None:
    for name, content in (("a.csv", b"text,y\n\xff\xfe,1\n"), ("a.jsonl", b"{"), ("a.parquet", b"PAR1 no")):
        (tmp_path / name).write_bytes(content)
        message = refused(tmp_path / name, sentences)
        assert message.startswith(f'"{tmp_path / name}" cannot be read (')
        assert message.endswith(f"Is it a {Path(name).suffix} file in UTF-8?")


def test_absent_file_and_unknown_kind(sentences: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv(tmp_path / "pairs.csv")
    monkeypatch.chdir(tmp_path)
    assert refused("pair.csv", sentences) == f'no file "pair.csv" in {tmp_path}. Did you mean "pairs.csv"?'
    assert refused(tmp_path / "x", sentences) == f'no file "{tmp_path / "x"}".'
    odd = write(tmp_path / "a.xlsx", "x")
    assert refused(odd, sentences) == (
        f'"{odd}": unknown kind of file ".xlsx". Data is .csv, .tsv, .jsonl, .json, .parquet, .txt, .npz, '
        "a folder of pictures, or file.py:function."
    )
    assert (
        refused(write(tmp_path / "a.csv.gz", "x"), sentences)
        == f'"{tmp_path / "a.csv.gz"}" is packed. Unpack it first.'
    )


def test_rows_without_text(sentences: Opened, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", 'text,score\na man,1\n,2\n"  ",3\n')
    says = f'row 2 of "{file}" has no text in "text" (2 of 3 rows). Fill these rows or take them out.'
    assert refused(file, sentences) == says
    assert read_data(file, sentences, limit=1).examples == 1
    lines = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": null}\n')
    assert refused(lines, sentences).startswith(f'row 2 of "{lines}" has no text in "text" (1 of 2 rows).')


def test_targets_that_are_no_number(sentences: Opened, tmp_path: Path) -> None:
    for number, hole in enumerate(("", "nan", "NaN", "NA", "inf")):
        file = write(tmp_path / f"{number}.csv", f"text,score\na man,1.5\nthe man,{hole}\na film,2\na plane,3\n")
        says = f'row 2 of "{file}" has no number in "score" (1 of 4 rows). Fill these rows or take them out.'
        assert refused(file, sentences) == says
    lines = write(tmp_path / "a.jsonl", '{"text": "a", "y": 1.0}\n{"text": "b", "y": NaN}\n')
    assert refused(lines, sentences).startswith(f'row 2 of "{lines}" has no number in "y"')
    words = write(tmp_path / "words.csv", "text,label\na man,good\na film,bad\nthe man,good\n")
    assert refused(words, sentences, text="text", target="label") == (
        f'target "label" of "{words}" holds "good", and this model has no labels by name. '
        "Give a column of numbers: --target COLUMN."
    )


def test_model_without_tokenizer(bert: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(bert, tmp_path / "m", ignore=shutil.ignore_patterns("tokenizer*")))
    file = csv(tmp_path / "pairs.csv")
    assert refused(file, open_model(folder)) == (
        f'"{folder}" has no tokenizer (or reads no text), so "{file}" cannot become its inputs. '
        "Put the tokenizer's files into the model's folder, or use --data file.py:function."
    )


# Other tasks


def test_classifier(judge: Opened, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "text,label\nthe film was good,Positive\nbad,negative\nthe film,Negative\n")
    data = read_data(file, judge)
    assert data.reads == 'text "text", target "label"'
    (batch,) = data
    assert batch.target.tolist() == [1, 0, 0]
    assert set(batch.kwargs) == {"input_ids", "attention_mask"}
    assert batch.kwargs["attention_mask"].sum(1).tolist() == [6, 3, 4]
    assert batch.call(judge.model).logits.shape == (3, 2)
    numbers = write(tmp_path / "n.csv", "text,label\nthe film was good,1\nbad,0\n")
    assert next(iter(read_data(numbers, judge))).target.tolist() == [1, 0]


def test_classifier_of_pairs_reads_them_together(judge: Opened, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "one,two,label\nthe film was good,a man is,1\nbad,bad film,0\n")
    (batch,) = read_data(file, judge)
    assert len(batch.kwargs["input_ids"]) == batch.examples == 2
    assert batch.kwargs["input_ids"][0].tolist().count(3) == 2  # two separators


def test_labels_that_the_model_does_not_know(judge: Opened, tmp_path: Path) -> None:
    words = write(tmp_path / "a.csv", "text,label\na man,Positive\na film,Positve\n")
    assert refused(words, judge, text="text", target="label") == (
        f'target "label" of "{words}": row 2 is "Positve", which is no label of the model. Did you mean "Positive"? '
        "Its labels: Negative, Positive. Use these, or their numbers."
    )
    for value in ("2", "-1", "0.5"):
        numbers = write(tmp_path / "n.csv", f"text,label\na man,1\na film,{value}\n")
        shown = value if value == "0.5" else int(value)
        assert refused(numbers, judge) == (
            f'target "label" of "{numbers}": row 2 is {shown}; the model has 2 classes, 0 to 1. '
            "Name the column of labels: --target COLUMN."
        )


def test_language_model_reads_blocks(writer: Opened, tmp_path: Path) -> None:
    words = ["the", "man", "is", "playing", "a", "large", "flute", "was", "good", "film"]
    file = write(tmp_path / "a.txt", "\n".join(" ".join(words) for _ in range(3)) + "\n")
    data = read_data(file, writer, max_length=8, batch_size=3)
    batches = list(data)
    assert data.examples == 4  # 30 tokens: 8 + 8 + 8 + 6
    assert [tuple(batch.kwargs["input_ids"].shape) for batch in batches] == [(3, 8), (1, 6)]
    tokens = torch.cat([batch.target[batch.target != -100] for batch in batches])
    tokenizer: Any = writer.tokenizer
    assert tokenizer.decode(tokens).split() == words * 3
    assert data.reads == 'text "text" in blocks of at most 8 tokens'
    assert read_data(file, writer, max_length=8, limit=2).examples == 2
    assert read_data(file, writer).examples == 1
    loss = batches[0].call(writer.model).logits
    assert loss.shape == (3, 8, 32)


def test_language_model_keeps_documents_apart(writer: Opened, tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", '{"text": "the man is"}\n{"text": "a good film was bad"}\n{"text": "man"}\n')
    (batch,) = read_data(lines, writer)
    assert batch.examples == 2  # a single token predicts nothing
    assert batch.kwargs["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch.target[0].tolist() == [*batch.kwargs["input_ids"][0, :3].tolist(), -100, -100]
    single = write(tmp_path / "b.jsonl", '{"text": "man"}\n')
    assert refused(single, writer) == f'"{single}" holds less than two tokens of text. Give more.'
    assert refused(lines, writer, max_length=1) == ("--max-length 1 leaves no next token to predict. Give 2 or more.")


def test_masked_language_model_has_no_target(masked: Path, tmp_path: Path) -> None:
    opened = open_model(masked)
    file = write(tmp_path / "a.csv", "text,score\nthe film was [MASK] .,1\nbad,2\n")
    (batch,) = read_data(file, opened)
    assert (batch.target, batch.examples) == (None, 2)
    assert batch.call(opened.model).logits.shape[:2] == (2, 7)


def test_text_to_text(t5: Path, tmp_path: Path) -> None:
    opened = open_model(t5)
    file = write(tmp_path / "a.csv", "source,written\nthe film was good,a good film was the\nbad,bad film\n")
    data = read_data(file, opened)
    assert data.reads == 'text "source", target "written"'
    (batch,) = data
    assert batch.target.tolist()[1][-3:] == [-100] * 3
    assert batch.kwargs["decoder_input_ids"][:, 0].tolist() == [0, 0]
    model: Any = opened.model
    labels = model(
        input_ids=batch.kwargs["input_ids"], attention_mask=batch.kwargs["attention_mask"], labels=batch.target
    )
    torch.testing.assert_close(batch.call(model).logits, labels.logits)


# Pictures


def test_folder_of_pictures_in_the_models_own_numbering(vit: Path, tmp_path: Path) -> None:
    from PIL import Image

    for label in ("cat", "dog"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        Image.new("L" if label == "cat" else "RGB", (9, 7), 100).save(tmp_path / "pictures" / label / "a.png")
    opened = open_model(vit)
    data = read_data(tmp_path / "pictures", opened)
    (batch,) = data
    assert data.reads == 'picture "image", target "label"'
    assert batch.kwargs["pixel_values"].shape == (2, 3, 8, 8)
    assert batch.target.tolist() == [1, 0]  # cat is 1 for this model, 0 by the alphabet
    assert batch.call(opened.model).logits.shape == (2, 2)


# Functions


def test_data_from_a_function(sentences: Opened, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "from torch.utils.data import TensorDataset\n"
        "def dataset():\n    return TensorDataset(torch.ones(5, 2), torch.arange(5))\n"
        "def batches(tokenizer, batch_size):\n    return [dict(tokenizer(['a'] * batch_size, return_tensors='pt'))]\n"
        "def once():\n    yield torch.ones(2)\n"
        "def nothing():\n    return []\n"
    )
    data = read_data(f"{file}:dataset", sentences, batch_size=2)
    assert [batch.examples for batch in data] == [2, 2, 1]
    assert data.name == f"{file}:dataset"
    assert read_data(f"{file}:dataset", sentences, limit=3).examples == 3
    assert read_data(f"{file}:batches", sentences, batch_size=7).examples == 7
    assert refused(f"{file}:once", sentences) == (
        f'"{file}:once": data is a generator, which can be gone through only once; two readings are needed. '
        "Use list(...) to keep the batches."
    )
    assert refused(f"{file}:nothing", sentences).endswith(
        "data is empty: this list has length 0. Give at least one example."
    )


def test_nothing_is_left_behind(sentences: Opened, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import tempfile

    import datasets

    before = set(Path(tempfile.gettempdir()).glob("identikit-*"))
    capfd.readouterr()
    bars = datasets.are_progress_bars_disabled()
    read_data(csv(tmp_path / "pairs.csv"), sentences)
    assert datasets.are_progress_bars_disabled() == bars
    assert capfd.readouterr() == ("", "")
    assert set(Path(tempfile.gettempdir()).glob("identikit-*")) <= before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.csv"]


def test_arrays_reach_the_model(tmp_path: Path) -> None:
    from torch import nn

    np.savez(tmp_path / "a.npz", x=np.ones((5, 2)), y=np.arange(5))
    opened = Opened(nn.Linear(2, 3), "mine")
    data = read_data(tmp_path / "a.npz", opened, batch_size=2, limit=3)
    assert [batch.examples for batch in data] == [2, 1]
    assert data.reads == "x, target y"
    assert torch.cat([batch.call(opened.model) for batch in data]).shape == (3, 3)
