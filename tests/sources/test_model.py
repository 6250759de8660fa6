"""MODEL opened: what loads, what is refused, and in which words."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from identikit.errors import ModelError
from identikit.sources import open_model


def refused(name: Path | str, **options: Any) -> str:
    """The message that opening `name` ends in: one line."""
    with pytest.raises(ModelError) as caught:
        open_model(name, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def copied(bert: Path, tmp_path: Path) -> Path:
    """A bare BERT to damage."""
    return Path(shutil.copytree(bert, tmp_path / "bert"))


def test_each_kind_of_checkpoint(bert: Path, classifier: Path, masked: Path, llama: Path, t5: Path) -> None:
    kinds = {
        bert: ("BertModel", "feature-extraction"),
        classifier: ("BertForSequenceClassification", "text-classification"),
        masked: ("BertForMaskedLM", "fill-mask"),
        llama: ("LlamaForCausalLM", "text-generation"),
        t5: ("T5ForConditionalGeneration", "text2text-generation"),
    }
    for folder, (kind, task) in kinds.items():
        opened = open_model(folder, device="cpu")
        assert (type(opened.model).__name__, opened.task) == (kind, task)
        assert opened.folder == folder
        assert not opened.model.training
        assert opened.inputs is not None
        opened.inputs.call(opened.model)


def test_a_sentence_model(minilm_path: Path) -> None:
    opened = open_model(minilm_path)
    assert type(opened.model).__name__ == "SentenceTransformer"
    assert (opened.task, opened.longest, opened.model.training) == ("embedding", 256, False)
    assert opened.inputs is not None
    found = opened.inputs.call(opened.model)["sentence_embedding"]
    model: Any = opened.model
    meant = model.encode(["A plane is taking off.", "A man is playing a large flute in the park."])
    torch.testing.assert_close(found, torch.from_numpy(meant), atol=1e-5, rtol=0)


def test_a_sentence_model_as_a_plain_one(minilm_path: Path) -> None:
    assert type(open_model(minilm_path, task="feature-extraction").model).__name__ == "BertModel"


def test_task_chooses_the_class(classifier: Path, masked: Path, t5: Path) -> None:
    assert type(open_model(classifier, task="embedding").model).__name__ == "BertModel"
    # The checkpoint has no pooler: none is drawn at random.
    bare: Any = open_model(masked, task="feature-extraction").model
    assert bare.pooler is None
    whole = open_model(t5, task="embedding")
    assert type(whole.model).__name__ == "T5Model"
    assert whole.inputs is not None
    whole.inputs.call(whole.model)
    assert type(open_model(classifier, task="sentiment-analysis").model).__name__ == "BertForSequenceClassification"


def test_dtype_is_the_checkpoints_unless_asked(bert: Path, minilm_path: Path, tmp_path: Path) -> None:
    from transformers import BertModel

    half = tmp_path / "half"
    BertModel.from_pretrained(bert, dtype=torch.bfloat16).save_pretrained(half)
    assert next(open_model(half).model.parameters()).dtype == torch.bfloat16
    assert next(open_model(half, dtype="auto").model.parameters()).dtype == torch.bfloat16
    assert next(open_model(half, dtype="float32").model.parameters()).dtype == torch.float32
    assert next(open_model(minilm_path, dtype="bf16").model.parameters()).dtype == torch.bfloat16


def test_quiet_while_loading_and_as_before_afterwards(
    bert: Path, minilm_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.utils import logging as library

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    level, other = library.get_verbosity(), logging.getLogger("sentence_transformers").level
    library.set_verbosity_info()
    try:
        capfd.readouterr()
        open_model(bert)
        open_model(minilm_path)
        assert capfd.readouterr() == ("", "")
        assert library.get_verbosity() == library.INFO
        assert logging.getLogger("sentence_transformers").level == other
    finally:
        library.set_verbosity(level)


def test_folder_without_weights(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    assert refused(copied) == (
        f'no weights in "{copied}" (found: config.json, tokenizer.json, tokenizer_config.json). Put model.safetensors '
        "(or pytorch_model.bin) beside config.json, or save the model again: model.save_pretrained(FOLDER)."
    )


def test_sentence_folder_without_weights(minilm_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(minilm_path, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    assert refused(folder).startswith(f'no weights in "{folder}" (found: ')


def test_folder_without_config(copied: Path, tmp_path: Path) -> None:
    (copied / "config.json").unlink()
    assert refused(copied) == (
        f'no config.json in "{copied}" (found: model.safetensors, tokenizer.json, tokenizer_config.json). '
        "A model folder is what save_pretrained writes: config.json and model.safetensors."
    )
    (tmp_path / "nothing").mkdir()
    assert "(the folder is empty)" in refused(tmp_path / "nothing")


def test_lost_shard(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (copied / shards["a"]).touch()
    assert refused(copied) == (
        f'"{copied}" lacks 1 of 2 weight files that model.safetensors.index.json names, '
        "model-00002-of-00002.safetensors first. Copy them there too."
    )


def test_weights_that_are_absent_are_not_drawn(copied: Path, minilm_path: Path, tmp_path: Path) -> None:
    def lose(file: Path, name: str) -> None:
        weights = load_file(file)
        del weights[name]
        save_file(weights, file, {"format": "pt"})

    name = "encoder.layer.1.output.dense.weight"
    lose(copied / "model.safetensors", name)
    fix = "They would be random. Use the checkpoint that has them, or another --task."
    assert refused(copied) == f'"{copied}" lacks weights of BertModel: {name}. {fix}'
    sentences = Path(shutil.copytree(minilm_path, tmp_path / "m"))
    lose(sentences / "model.safetensors", name)
    assert refused(sentences) == f'"{sentences}" lacks weights of BertModel: {name}. {fix}'


def test_a_sentence_model_whose_file_has_other_names(minilm_path: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(minilm_path, tmp_path / "m"))
    weights = load_file(folder / "model.safetensors")
    save_file({f"bert.{name}": value for name, value in weights.items()}, folder / "model.safetensors")
    torch.testing.assert_close(open_model(folder).model.state_dict(), open_model(minilm_path).model.state_dict())
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    torch.testing.assert_close(open_model(folder).model.state_dict(), open_model(minilm_path).model.state_dict())


def test_a_head_that_is_absent_is_not_drawn(bert: Path) -> None:
    assert refused(bert, task="text-classification") == (
        f'"{bert}" lacks weights of BertForSequenceClassification: classifier.bias and 1 more. '
        "They would be random. Use the checkpoint that has them, or another --task."
    )


def test_config_of_another_model(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    assert refused(copied) == (
        f'"{copied}" holds encoder.layer.0.intermediate.dense.bias in another shape than its config.json says. '
        "Put the config.json beside the weights that was saved with them."
    )


def test_damaged_files(copied: Path) -> None:
    whole = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert refused(copied).startswith(f'"{copied}" cannot be loaded: SafetensorError: ')
    (copied / "config.json").write_text("{")
    assert refused(copied).startswith(f'"{copied / "config.json"}" cannot be read as JSON: ')


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("bomb"),))


def test_pickles_hold_weights_alone(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    torch.save(weights, copied / "pytorch_model.bin")
    assert type(open_model(copied).model).__name__ == "BertModel"
    torch.save({**weights, "bomb": Bomb()}, copied / "pytorch_model.bin")
    assert refused(copied) == (
        f'"{copied}" holds a pickle with more than weights in it, which could run code. '
        "Only safetensors and plain weights are read: save it again with model.save_pretrained(FOLDER)."
    )
    assert not Path("bomb").exists()


CODE = """
from pathlib import Path
Path("ran").touch()
from transformers import BertConfig, BertModel
class MineConfig(BertConfig):
    model_type = "mine"
class Mine(BertModel):
    config_class = MineConfig
"""


def test_code_of_a_checkpoint_runs_only_when_trusted(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    (copied / "code.py").write_text(CODE)
    config = json.loads((copied / "config.json").read_text())
    brought = {"AutoConfig": "code.MineConfig", "AutoModel": "code.Mine"}
    mine = {**config, "model_type": "mine", "architectures": ["Mine"], "auto_map": brought}
    (copied / "config.json").write_text(json.dumps(mine))
    says = "brings its own code, which opening it would run. If you trust it, add --trust-remote-code."
    assert refused(copied) == f'"{copied}" {says}'
    assert not Path("ran").exists()
    assert type(open_model(copied, trust_remote_code=True).model).__name__ == "Mine"
    assert Path("ran").exists()


def test_code_of_a_sentence_model_runs_only_when_trusted(minilm_path: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(minilm_path, tmp_path / "m"))
    parts = json.loads((folder / "modules.json").read_text())
    parts[1]["type"] = "mine.Pooling"
    (folder / "modules.json").write_text(json.dumps(parts))
    assert refused(folder) == (
        f'"{folder}" brings its own code (mine.Pooling), which opening it would run. '
        "If you trust it, add --trust-remote-code."
    )


def test_unknown_architecture(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "architectures": ["BertForFlying"]}))
    message = refused(copied)
    assert "has no class BertForFlying, which this checkpoint was saved as. Say what to load it for (--task)" in message
    assert type(open_model(copied, task="feature-extraction").model).__name__ == "BertModel"


def test_unknown_task(bert: Path) -> None:
    assert refused(bert, task="text-clasification") == (
        'unknown task "text-clasification". Did you mean "text-classification"? '
        'Tasks are those of transformers.pipeline, such as text-classification, and "embedding".'
    )


def test_task_that_the_model_cannot_do(bert: Path) -> None:
    assert refused(bert, task="image-classification") == (
        'no model for task "image-classification" from a Bert checkpoint. '
        "It was saved as BertModel; leave --task out to load that."
    )


def test_other_folders(copied: Path, tmp_path: Path) -> None:
    timm = tmp_path / "timm"
    timm.mkdir()
    (timm / "config.json").write_text('{"architecture": "resnet18"}')
    assert refused(timm).startswith(f'no weights in "{timm}" (found: config.json).')
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    planned = tmp_path / "planned"
    planned.mkdir()
    (planned / "plan.json").write_text("{}")
    says = f'holds a plan of identikit, not a checkpoint. Open it in Python: ik.load("{planned}").'
    assert refused(planned) == f'"{planned}" {says}'
    assert refused(adapter).startswith(f'"{adapter}" holds an adapter (adapter_config.json), not a model.')


def test_a_cross_encoder_is_a_classifier(classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "cross"))
    (folder / "modules.json").write_text("[]")
    (folder / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}')
    assert type(open_model(folder).model).__name__ == "BertForSequenceClassification"
    (folder / "config_sentence_transformers.json").write_text('{"model_type": "SparseEncoder"}')
    assert "holds a SparseEncoder of sentence-transformers" in refused(folder)


def test_absent_folder(bert: Path) -> None:
    wrong = bert.parent / "bert1/model"
    assert refused(wrong) == f'no folder "{wrong}". MODEL is a folder, file.py:function or a hub id.'
    near = str(bert)[:-1]
    assert refused(near) == (
        f'no folder "{near}". Did you mean "{bert.name}"? MODEL is a folder, file.py:function or a hub id.'
    )


def test_a_file_is_no_folder(bert: Path) -> None:
    file = bert / "model.safetensors"
    assert refused(file) == (
        f'"{file}" is a file. MODEL is the folder it lies in (with config.json), or file.py:function that loads it.'
    )


def test_hub_out_of_reach() -> None:
    assert refused("someone/no-such-model") == (
        'no folder "someone/no-such-model" here, it is not in the hub\'s cache, and the hub cannot be reached '
        "(OfflineModeIsEnabled). Give a local folder or file.py:function, or go online."
    )


def test_model_from_a_function(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Linear(2, 2), nn.Dropout())\n"
        "def wrong():\n    return 3\n"
    )
    state = torch.get_rng_state()
    one, other, third = (open_model(f"{file}:build", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.model[0].weight, other.model[0].weight)
    assert not torch.equal(one.model[0].weight, third.model[0].weight)
    assert not one.model.training
    assert (one.encode, one.folder, one.inputs) == (None, None, None)
    assert open_model(f"{file}:build", dtype="bfloat16").model[0].weight.dtype == torch.bfloat16
    assert refused(f"{file}:wrong") == f'"{file}:wrong" returned int, not a model. Return a torch.nn.Module.'
    assert refused(f"{file}:biuld").startswith(f'no function "biuld" in {file}. Did you mean "build"?')


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dtype": "bfloat"},
            'unknown dtype "bfloat". Did you mean "bfloat16"? Use auto, float32, bfloat16 or float16.',
        ),
        ({"device": "gpu"}, 'unknown device "gpu". Use auto, cpu, cuda or cuda:0.'),
    ],
)
def test_unknown_words(bert: Path, options: dict[str, str], message: str) -> None:
    assert refused(bert, **options) == message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_device_that_is_not_there(bert: Path) -> None:
    assert refused(bert, device="cuda") == (
        'device "cuda" is not there: this PyTorch sees no CUDA device. Use --device cpu.'
    )
