"""A pruned checkpoint taken on by serving engines: converted by their own converter, run, compared with transformers.

    pip install ctranslate2
    python benchmarks/serving.py --engine ctranslate2

    pip install llama-cpp-python gguf sentencepiece
    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python    # llama.cpp's converter lies in its source
    tar xzf llama_cpp_python-*.tar.gz
    python benchmarks/serving.py --engine llama.cpp \
        --converter llama_cpp_python-*/vendor/llama.cpp/convert_hf_to_gguf.py

Without `--folder` a small LLaMA with random weights is made, with a tokenizer of its own, and two of its six layers are
removed. `--folder` takes a checkpoint of yours that `ik.save` or `identikit prune` wrote. Adds to
benchmarks/results/serving.json: the largest difference of the logits, how often the next token is the same.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy
import torch

import identikit as ik

RESULT = Path(__file__).parent / "results" / "serving.json"
GONE, LAYERS, TOKENS = (1, 4), 6, 24


def tokens(folder: Path) -> int:
    """Write a tokenizer into `folder` in both forms that converters read; returns the number of its tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *(f"▁w{n}" for n in range(61))]
    if importlib.util.find_spec("sentencepiece"):  # only llama.cpp's converter reads this form
        from sentencepiece import sentencepiece_model_pb2

        form = sentencepiece_model_pb2.ModelProto()
        for number, piece in enumerate(pieces):
            kind = {0: 2, 1: 3, 2: 3}.get(number, 6 if number < 259 else 1)  # unknown, control, byte, normal
            form.pieces.add(piece=piece, score=-float(number), type=kind)
        form.trainer_spec.vocab_size, form.trainer_spec.byte_fallback = len(pieces), True
        (folder / "tokenizer.model").write_bytes(form.SerializeToString())
    inner = Tokenizer(WordLevel({piece: number for number, piece in enumerate(pieces)}, unk_token="<unk>"))
    made = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    made.save_pretrained(folder)
    return len(pieces)


def pruned(place: Path) -> Path:
    """A folder of a small LLaMA without some of its layers, as `ik.save` writes it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    first = place / "tokenizer"
    first.mkdir()
    torch.manual_seed(0)
    size = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None, "max_position_embeddings": 128}
    config = LlamaConfig(**size, **special, vocab_size=tokens(first), num_hidden_layers=LAYERS, initializer_range=0.1)
    model = LlamaForCausalLM(config).eval()
    ik.remove(model, [f"model.layers.{layer}" for layer in GONE])
    folder = ik.save(model, place / "pruned", like=first)
    if (first / "tokenizer.model").is_file():
        assert (folder / "tokenizer.model").is_file(), "the tokenizer did not travel along"
    return folder


def by_transformers(folder: Path, ids: list[int]) -> numpy.ndarray[Any, Any]:
    """Logits [token, vocabulary] of the checkpoint in its own library."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy()


def by_ctranslate2(folder: Path, ids: list[int], place: Path, _: str | None) -> numpy.ndarray[Any, Any]:
    """The same by CTranslate2."""
    import ctranslate2

    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(place / "ct2"))
    generator = ctranslate2.Generator(str(place / "ct2"), device="cpu", compute_type="float32")
    return numpy.array(generator.forward_batch([ids]))[0]


def by_llama_cpp(folder: Path, ids: list[int], place: Path, converter: str | None) -> numpy.ndarray[Any, Any]:
    """The same by llama.cpp, through a GGUF file."""
    from llama_cpp import Llama

    file = place / "model.gguf"
    if converter is None:
        sys.exit("--engine llama.cpp needs --converter PATH/convert_hf_to_gguf.py (see the head of this script).")
    line = [sys.executable, converter, str(folder), "--outfile", str(file), "--outtype", "f32"]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    model = Llama(str(file), logits_all=True, n_ctx=64, verbose=False)
    model.eval(ids)
    return numpy.array(model.scores[: len(ids)])


ENGINES = {"ctranslate2": (by_ctranslate2, "ctranslate2"), "llama.cpp": (by_llama_cpp, "llama-cpp-python")}


def compare(engine: str, folder: Path, place: Path, converter: str | None) -> dict[str, Any]:
    """Every token's logits, in one pass."""
    config = json.loads((folder / "config.json").read_text())
    ids = torch.randint(3, config["vocab_size"], (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    expected = by_transformers(folder, ids)
    run, package = ENGINES[engine]
    found = run(folder, ids, place, converter)
    difference = float(numpy.abs(found - expected).max())
    return {
        "version": importlib.metadata.version(package),
        "layers": config["num_hidden_layers"],
        "logits_up_to": round(float(numpy.abs(expected).max()), 3),
        "largest_difference": float(f"{difference:.2g}"),
        "same_next_token": f"{int((found.argmax(1) == expected.argmax(1)).sum())} of {len(ids)}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--folder", type=Path, help="a causal language model that ik.save wrote")
    parser.add_argument("--converter", help="llama.cpp's convert_hf_to_gguf.py")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or pruned(Path(name))
        result = compare(options.engine, folder, Path(name), options.converter)
    print(json.dumps({options.engine: result}, indent=2))
    if options.folder is None:
        before = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
        RESULT.write_text(json.dumps({**before, options.engine: result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
