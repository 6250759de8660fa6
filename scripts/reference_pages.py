"""Writes docs/reference: every public name, grouped by task, with where it is explained and where it is defined.

    python scripts/reference_pages.py

On a forge a page leads to the task and to the source; on the site (scripts/docs_site.py) the signature and the
docstring stand there. A public name that no group holds is an error, and tests/docs/test_generated.py asks for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import identikit as ik

ROOT = Path(__file__).parents[1]
FOLDER = Path("docs") / "reference"
MARK = "<!-- Written by scripts/reference_pages.py. Do not edit. -->"
OPENING = """# Every public name

{mark}

`import identikit as ik` loads nothing heavy: each name is loaded when it is first used. What stands in `__all__` of
`identikit`, `identikit.nn` and `identikit.tabular` is public, and so are the [command line](../cli.md), the
[files on disk](../formats.md) and the [kinds of error](../errors/README.md); everything else may change.
"""


@dataclass(frozen=True)
class Group:
    """A page: names of one module, each with the page (and its title) that shows how it is used."""

    file: str
    title: str
    says: str
    names: dict[str, str]
    module: ModuleType = ik
    prefix: str = "ik."


SWITCH = "[Switch a layer off](../bypass.md)"
SCAN = "[Which layers matter](../scan.md)"
REPORT = "[Read a report](../report.md)"
AUDIT = "[Find published mistakes](../audit.md)"
PRUNE = "[Make it smaller](../prune.md)"
HEAL = "[Learn back what was lost](../heal.md)"
SIMPLIFY = "[Take out what changes nothing](../simplify.md)"
EXPORT = "[One graph, ONNX](../export.md)"
FILES = "[Files on disk](../formats.md#plan)"
BLOCKS = "[Residual networks](../blocks.md)"
GATES = "[Blocks that start as the identity](../blocks.md#blocks-that-start-as-the-identity)"
DROPS = "[Blocks left out while training](../blocks.md#blocks-left-out-while-training)"
WHOLE = "[Whole networks](../blocks.md#whole-networks)"
SIZES = "[Where the size changes](../blocks.md#where-the-size-changes)"
PASS = "[A pass layer](../blocks.md#a-pass-layer)"
EXITS = "[An answer before the last layer](../blocks.md#an-answer-before-the-last-layer)"
USES = "[What an identity layer is for](../identity.md)"
TABLES = "[Tables](../tables.md)"


def groups() -> list[Group]:
    """All pages, in the order of the site."""
    from identikit import nn, tabular

    edit = {
        **dict.fromkeys(("sites", "Site", "bypass"), SWITCH),
        "only": "[One part of a stack alone](../identity.md#a-stack-tested-one-part-at-a-time)",
        **dict.fromkeys(("apply", "Handle", "remove"), SWITCH),
        "insert": "[Add layers](../growth.md)",
        "duplicate": "[Add layers](../growth.md#layers-repeated)",
        "features": "[Cut the head off](../features.md)",
        **dict.fromkeys(("Plan", "Edit"), FILES),
    }
    measure = {"scan": SCAN, "ScanResult": SCAN, "report": REPORT, "audit": AUDIT, "Finding": AUDIT}
    shrink = {
        **dict.fromkeys(("prune", "Pruned"), PRUNE),
        **dict.fromkeys(("heal", "healed", "Healed"), HEAL),
        **dict.fromkeys(("simplify", "simplified", "Simplified"), SIMPLIFY),
    }
    save = {"save": SWITCH, "load": SWITCH, "export": EXPORT, "Exported": EXPORT}
    extend = {
        "Metric": "[Judge by your own measure](../evaluators.md)",
        "Family": "[Write a family](../families.md)",
        "IdentikitError": "[What a message means](../errors/README.md)",
        "IdentikitWarning": "[IdentikitWarning](../errors/identikit-warning.md)",
    }
    blocks = {
        **dict.fromkeys(("Residual", "residual_block"), BLOCKS),
        **dict.fromkeys(("PadShortcut", "projection"), SIZES),
        **dict.fromkeys(("Identity", "Argument", "stream", "Tap", "Switch", "InputSkip", "Placeholder", "maybe"), USES),
        **dict.fromkeys(("Pass", "pass_layer", "RobustScale"), PASS),
        **dict.fromkeys(("LayerScale", "ReZero", "SkipInit"), GATES),
        **dict.fromkeys(("LayerDrop", "StochasticDepth", "linear_schedule"), DROPS),
        **dict.fromkeys(("EarlyExit", "Exited"), EXITS),
        **dict.fromkeys(("ResNet", "PreActResNet", "CifarResNet", "DenseNet"), WHOLE),
        "TabularResNet": TABLES,
    }
    return [
        Group("edit.md", "Look and edit", "What can be edited; layers out of action and back; plans.", edit),
        Group("measure.md", "Measure", "What each layer is worth on your data; published mistakes.", measure),
        Group("shrink.md", "Shrink", "A smaller model, and what was lost learned back.", shrink),
        Group("save.md", "Save and export", "Checkpoints that need no identikit, plan folders, graphs.", save),
        Group("extend.md", "Extend", "Your own metric, your own model library, and the errors.", extend),
        Group("nn.md", "identikit.nn", "Blocks of residual networks; torch alone.", blocks, nn, ""),
        Group(
            "tabular.md",
            "identikit.tabular",
            "Residual networks for tables, with the interface of scikit-learn.",
            {"ResNetClassifier": TABLES, "ResNetRegressor": TABLES},
            tabular,
            "",
        ),
    ]


def pages() -> dict[str, str]:
    """File name to text."""
    found = groups()
    index = [OPENING.format(mark=MARK)]
    for group in found:
        index.append(f"## {group.title}\n\n| name | is |\n|---|---|")
        for name in group.names:
            shown = title(group, name)
            summary = said(getattr(group.module, name)).replace("|", "\\|")
            index.append(f"| [`{group.prefix}{name}`]({group.file}#{anchor(shown)}) | {summary} |")
        index.append("")
    return {"README.md": "\n".join(index), **{group.file: "\n".join(lines(group)) for group in found}}


def lines(group: Group) -> Iterator[str]:
    yield f"# {group.title}\n\n{MARK}\n\n{group.says} All names: [reference](README.md)."
    for name, task in group.names.items():
        thing = getattr(group.module, name)
        source = source_of(thing)
        yield f"\n## {title(group, name)}\n\n{task} · [{source.name}](../../{source.as_posix()})\n"
        yield f"{said(thing)}\n\n<!-- ::: {path_of(group, name, thing)} -->"
    yield ""


def title(group: Group, name: str) -> str:
    """The heading; a class that differs from a function by its first letter alone says so, or they share an anchor."""
    shown = f"{group.prefix}{name}"
    return f"{shown} (class)" if name[0].isupper() and name.lower() in group.names else shown


def said(thing: Any) -> str:
    """The first line of its docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def source_of(thing: Any) -> Path:
    return Path(inspect.getfile(thing if hasattr(thing, "__qualname__") else type(thing))).relative_to(ROOT)


def path_of(group: Group, name: str, thing: Any) -> str:
    """Where it is defined: names are loaded lazily, and what reads the source does not run it."""
    return f"{thing.__module__}.{getattr(thing, '__qualname__', name)}"


def anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def write() -> None:
    (ROOT / FOLDER).mkdir(exist_ok=True)
    for name, text in pages().items():
        (ROOT / FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
