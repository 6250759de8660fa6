"""A LLaMA pruned and healed: layers out, their effect folded into the rest, the rest learned back; it still generates.

    python examples/llama_pruned_and_healed.py [--data FOLDER] [--drop 3] [--steps 300] [--to FOLDER] [--quick]

FOLDER holds a trained transformers LLaMA (tinyllama/), text that it learned from (shakespeare-train.txt) and text that
it did not (shakespeare-val.txt). Without --data a small one is trained here for a minute, on Python's own manual, whose
bytes are the tokens.
"""

from __future__ import annotations

import argparse
import copy
import math
from pathlib import Path
from pydoc_data.topics import topics

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

import identikit as ik

TOKENS, ROWS = 128, 16  # of a row, and rows of a batch


def from_folder(folder: Path) -> tuple[PreTrainedModel, torch.Tensor, torch.Tensor]:
    """The trained model, the tokens it was trained on, and others."""
    model = AutoModelForCausalLM.from_pretrained(folder / "tinyllama").eval()
    read = AutoTokenizer.from_pretrained(folder / "tinyllama")
    texts = ((folder / f"shakespeare-{part}.txt").read_text() for part in ("train", "val"))
    return model, *(torch.tensor(read(text, truncation=False, verbose=False)["input_ids"]) for text in texts)


def trained_here(steps: int) -> tuple[PreTrainedModel, torch.Tensor, torch.Tensor]:
    """A LLaMA of 6 layers, trained on the first nine tenths of Python's manual; its bytes, and those of the rest."""
    manual = torch.tensor(list("\n".join(topics.values()).encode()))
    train, rest = manual.split([len(manual) * 9 // 10, len(manual) - len(manual) * 9 // 10])
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=256, hidden_size=96, intermediate_size=256, num_hidden_layers=6, num_attention_heads=4,
            tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        rows = train.unfold(0, TOKENS, 1)[torch.randint(len(train) - TOKENS, (ROWS,))]
        optimiser.zero_grad()
        model(input_ids=rows, labels=rows).loss.backward()
        optimiser.step()
        rate.step()
    return model.eval(), train, rest


def batches(ids: torch.Tensor, count: int) -> list[dict[str, torch.Tensor]]:
    """Rows of tokens from all over the text; what comes next in them is also what should be said."""
    rows = ids[: len(ids) // TOKENS * TOKENS].view(-1, TOKENS)
    rows = rows[torch.linspace(0, len(rows) - 1, count * ROWS).long().unique()]
    return [{"input_ids": part, "labels": part} for part in rows.split(ROWS)]


@torch.no_grad()
def perplexity(model: PreTrainedModel, text: list[dict[str, torch.Tensor]]) -> float:
    """Among how many equally likely tokens the model hesitates, on average."""
    return math.exp(sum(float(model(**rows).loss) for rows in text) / len(text))


@torch.no_grad()
def cached(model: PreTrainedModel, ids: torch.Tensor) -> float:
    """How far the logits are apart, read token by token with a cache and all at once without.

    Where layers were taken out by hand, their numbers in the cache no longer fit, and this is where it shows.
    """
    cache, steps = None, []
    for token in ids.split(1, dim=1):
        output = model(input_ids=token, past_key_values=cache, use_cache=True)
        cache, steps = output.past_key_values, [*steps, output.logits]
    return float((torch.cat(steps, 1) - model(input_ids=ids, use_cache=False).logits).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with the model and its text")
    parser.add_argument("--drop", type=int, default=3, help="how many layers go")
    parser.add_argument("--steps", type=int, default=300, help="of healing")
    parser.add_argument("--to", type=Path, default=Path("smaller-llama"), help="the folder for the smaller model")
    parser.add_argument("--quick", action="store_true", help="train and heal for a few seconds")
    options = parser.parse_args()
    torch.manual_seed(0)

    if options.data is None:
        full, known, unknown = trained_here(steps=40 if options.quick else 600)
    else:
        full, known, unknown = from_folder(options.data)
    print(f"1. A LLaMA of {len(full.model.layers)} layers and {full.num_parameters():,} parameters")

    # kl asks how far the model is from what the full one says: no labels. The text may be any that it can read.
    choose, learn, judge = (
        batches(ids, 3 if options.quick else most) for ids, most in ((known, 12), (known, 100), (unknown, 12))
    )
    pruned = ik.prune(full, choose, metrics="kl", drop=options.drop, compensate="fold", progress=False)
    print(f"2. Pruned by kl: {', '.join(pruned.plan.places)} are gone")

    dropped = ik.remove(copy.deepcopy(full), pruned.plan)  # for the table: the layers gone, and nothing made up for
    folded = copy.deepcopy(pruned.model)
    healed = ik.heal(pruned.model, full, learn, steps=4 if options.quick else options.steps, progress=False)
    print("3. Perplexity on text that nothing was trained, chosen, folded or healed on\n")
    print(f"   {'':18}{'parameters':>12}{'perplexity':>12}")
    for name, model in {"full": full, "layers dropped": dropped, "folded": folded, "and healed": healed}.items():
        print(f"   {name:18}{model.num_parameters():12,}{perplexity(model, judge):12.2f}")

    tokenizer = options.data and options.data / "tinyllama"  # travels along; bytes need none
    folder = ik.save(healed, options.to, like=tokenizer, overwrite=True)
    again = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt = judge[0]["input_ids"][:1, :24]
    said = again.generate(prompt, max_new_tokens=40, do_sample=False, use_cache=True, pad_token_id=0)
    slowly = again.generate(prompt, max_new_tokens=40, do_sample=False, use_cache=False, pad_token_id=0)
    print(f"\n4. {folder}, loaded by transformers alone: perplexity {perplexity(again, judge):.2f}")
    print(f"   with a cache and without, logits differ by at most {cached(again, judge[0]['input_ids'][:2]):.0e}")
    print(f"   and the same 40 tokens are written: {torch.equal(said, slowly)}")


if __name__ == "__main__":
    main()
