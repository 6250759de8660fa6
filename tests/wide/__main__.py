"""`python -m wide list [--auto causal-lm] [--only llama,bert]` in tests/: which model types build, and why not."""

from __future__ import annotations

import argparse
import sys
import time

import torch

from wide import AUTOS, NotBuilt, build, types


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["list"])
    parser.add_argument("--auto", choices=list(AUTOS), action="append")
    parser.add_argument("--only", help="model types, with commas between")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for auto in options.auto or list(AUTOS):
        chosen = options.only.split(",") if options.only else list(types(auto))
        count = 0
        for model_type in chosen:
            began = time.perf_counter()
            try:
                model, batch = build(auto, model_type)
            except NotBuilt as reason:
                print(f"{auto:24}{model_type:28}NOT  {reason}", flush=True)
                continue
            count += 1
            size = sum(value.numel() for value in model.parameters()) / 1e6
            print(f"{auto:24}{model_type:28}ok   {size:6.2f} M  {time.perf_counter() - began:5.1f} s  "
                  f"{', '.join(batch.kwargs)}", flush=True)  # fmt: skip
        print(f"{auto}: {count} of {len(chosen)} build", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
