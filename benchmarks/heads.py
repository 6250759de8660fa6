"""What `ik.features` makes of every classifier of torchvision, timm (one model a file) and transformers (tiny ones).

    python benchmarks/heads.py [torchvision timm transformers]

Each cut model is compared with what the first layer that went had taken in the full model; prints the counts, and each
model that was not cut right. Half an hour or more for all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "heads"))

from test_features_everywhere import LIBRARIES, told


def main() -> int:
    for library in sys.argv[1:] or LIBRARIES:
        found = told(library, LIBRARIES[library][0]())
        print(library, {outcome: len(names) for outcome, names in found.items()})
        for outcome, names in found.items():
            if outcome != "right":
                print(f"  {outcome}: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
