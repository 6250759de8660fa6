"""Make `import torchvision` work beside a CPU build of torch; does nothing where it works already.

torchvision's wheel on the package index is built for CUDA. Beside a CPU torch its compiled operators cannot be
loaded, and `import torchvision` ends with "operator torchvision::nms does not exist"; with it end timm and
transformers, which import torchvision where they find it. `make setup` runs this script: it puts two small files
into site-packages, a .pth with one import line and the module below. Python's start imports no torch by it; child
processes have it too.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

NAME = "torchvision_cpu_ops"

MODULE = '''\
"""Declare two operators of torchvision when it is first imported, where its own cannot be loaded."""

import importlib.abc
import importlib.machinery
import sys

declared = None  # torch drops the declarations with the last reference to the library object


def loadable(spec):
    """Whether torchvision's compiled operators load beside this torch."""
    import torch

    for folder in spec.submodule_search_locations or ():
        try:
            torch.ops.load_library(f"{folder}/_C.so")
        except OSError:
            continue
        return True
    return False


class Finder(importlib.abc.MetaPathFinder):
    """Steps aside at the first import of torchvision, and lets the usual finders find it."""

    def find_spec(self, name, path=None, target=None):
        global declared
        if name != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is not None and not loadable(spec):
            import torch

            declared = torch.library.Library("torchvision", "DEF")
            declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, Finder())
'''


def complaint() -> str:
    """The last line of what a fresh Python says to `import torchvision`; empty where it is content."""
    run = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    return run.stderr.strip().splitlines()[-1] if run.returncode else ""


def main() -> int:
    """Try, put the two files in where that fails, try again."""
    if not complaint():
        return 0
    packages = Path(sysconfig.get_path("purelib"))
    (packages / f"{NAME}.py").write_text(MODULE, encoding="utf-8")
    (packages / f"{NAME}.pth").write_text(f"import {NAME}\n", encoding="utf-8")
    left = complaint()
    if left:
        print(f"torchvision still cannot be imported: {left}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
