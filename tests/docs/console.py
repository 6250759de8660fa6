"""Runs the console blocks of the pages: `$ identikit ...` in this process, in a folder that holds what the page names.

The rule for writers of pages: each command of a ```console block stands behind `$ `, and must end with exit code 0. A
comment behind it is not read. What stands for the reader's own things is made for the run, tiny (MODEL, ./my-bert,
pairs.csv: `things`); what would take minutes or a download is shortened by the table SHORTER, and by nothing else.
A command that is not identikit's is looked up: a target of the Makefile, extras that exist, a script in benchmarks/
or scripts/ with the options that it has. What needs other machines is run by the test that ELSEWHERE names.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tiny
from cli.conftest import MINE
from docs.page import PageError
from identikit.cli import main

ROOT = Path(__file__).parents[2]
#: As a page says it, and as it is run.
SHORTER = {
    "MODEL": "./my-bert",
    "FILE": "pairs.csv",
    "timm:repvgg_a0": "my_net.py:picture",
    "--keep 0.98": "--keep 0.02",
    "--keep 0.9": "--keep 0.02",
    "--keep 0.95": "--keep 0.02",
    "--minutes 10": "--minutes 0.02",
    "--ray auto": "",
}
#: What a page has a reader type that takes other machines, other programs or minutes; and the test that does it.
ELSEWHERE = {
    "torchrun ": ("tests/crews/test_torchrun.py", "torch.distributed.run"),
    "ray start ": ("tests/crews/test_ray.py", "address"),
    "identikit prune MODEL --score examples/lm_eval/score.py:accuracy ": ("tests/examples/test_lm_eval.py", "score.py"),
    "identikit prune detector.py:net ": ("tests/examples/test_detection.py", "detector.py"),
    "identikit demo": ("tests/cli/test_processes.py", '"demo"'),
    "cd examples/": ("tests/examples", ""),
}
PICTURE = """

def picture():
    import timm

    return timm.create_model("test_byobnet").eval()
"""
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Commands:
    """A console block: its page, its line and its commands, continued lines joined."""

    page: str
    line: int
    commands: tuple[str, ...]

    def wrong(self, text: str) -> PageError:
        return PageError(f"{self.page}:{self.line}: {text}")


def blocks(path: Path, page: str) -> Iterator[Commands]:
    """The console blocks of a page. Raises PageError for a line that is no command."""
    text = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 2
        lines = found[1].replace("\\\n", " ").strip().splitlines()
        block = Commands(page, line, tuple(each.strip().removeprefix("$ ") for each in lines))
        if not_commands := [each for each in lines if not each.strip().startswith("$ ")]:
            raise block.wrong(f'"{not_commands[0]}" is no command; write "$ " in front, or show output as ```text')
        yield block


def check(block: Commands, place: Path) -> None:
    """Run or look up each command of a block; `place` is an empty folder and the present directory."""
    if any(each.startswith("identikit ") for each in block.commands):
        things(block, place)
    for command in block.commands:
        if test := next((test for start, test in ELSEWHERE.items() if command.startswith(start)), None):
            path, text = ROOT / test[0], test[1]
            if not path.exists() or (text and text not in path.read_text(encoding="utf-8")):
                raise block.wrong(f'"{command}" is said to be run by {test[0]}, which does not hold {text}')
        elif command.startswith("identikit "):
            run(block, command)
        elif reason := unknown(shlex.split(command, comments=True)):
            raise block.wrong(f'"{command}": {reason}')


def run(block: Commands, command: str) -> None:
    """Run a command of identikit's; PageError unless it ends with 0."""
    for long, short in SHORTER.items():
        command = re.sub(rf"(?<!\S){re.escape(long)}(?!\S)", short, command)
    _, *arguments = shlex.split(command, comments=True)
    if arguments[0] == "heal" and "--minutes" not in arguments:
        arguments += ["--minutes", "0.02"]
    try:
        main(arguments)
    except SystemExit as ended:
        if ended.code:
            raise block.wrong(f'"{command}" ends with exit code {ended.code}') from ended


def unknown(words: list[str]) -> str:
    """Why a command that is not identikit's would not work; "" where it would."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return "" if words[1] in targets else f"the Makefile has no target {words[1]}"
    if words[:2] == ["pip", "install"]:
        return unknown_package(words[2])
    if words[0] == "python" and words[1].startswith(("benchmarks/", "scripts/")):
        script = ROOT / words[1]
        if not script.is_file():
            return f"there is no {words[1]}"
        missing = [each for each in words[2:] if each.startswith("--") and f'"{each}"' not in whole(script)]
        return f"{words[1]} has no option {missing[0]}" if missing else ""
    return "nothing runs it; add it to tests/docs/console.py"


def unknown_package(name: str) -> str:
    """Why `pip install NAME` is not what a page may say."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package, _, extras = name.rstrip("]").partition("[")
    if package == project["name"]:
        gone = [each for each in extras.split(",") if each and each not in project["optional-dependencies"]]
        return f"there is no extra {gone[0]}" if gone else ""
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return "" if f"\n{package}==" in pinned else f"{package} is not in constraints.txt"


def whole(script: Path) -> str:
    """A script and the files beside it that it imports: options may be added there."""
    text = script.read_text(encoding="utf-8")
    beside = re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    return text + "".join(
        path.read_text(encoding="utf-8") for name in beside if (path := script.parent / f"{name}.py").is_file()
    )


def things(block: Commands, place: Path) -> None:
    """Make what the commands of a block start from: models, data, and what an earlier page had written."""
    import identikit as ik

    text, made = " ".join(block.commands), re.findall(r"--to (\S+)", " ".join(block.commands))
    tiny.folder(place / "my-bert", "embedding")
    if "llama" in text:
        tiny.folder(place / "my-llama", "causal")
    rows = tiny.pairs(place / "pairs.csv").read_text().splitlines()[1:]
    (place / "sentences.csv").write_text("\n".join(["text", *(row.split(",")[0] for row in rows * 12), ""]))
    (place / "my_net.py").write_text(MINE.replace("def net():", "def build():") + PICTURE)
    teacher = "my-llama" if "llama" in text else "my-bert"
    places = "model.layers.[1,2]" if "llama" in text else "encoder.layer.[1,2]"
    for name in {"smaller", "smaller-llama"} - set(made):
        ik.save(ik.remove(ik.load(place / teacher), places), place / name, like=place / teacher)
    (place / "plan.json").write_bytes((next(iter(place.glob("smaller*"))) / "plan.json").read_bytes())
    if "report scan.jsonl" in text and "scan.jsonl" not in made:
        run(block, "identikit scan ./my-bert --data pairs.csv --to scan.jsonl")
