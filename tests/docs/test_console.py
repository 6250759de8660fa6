"""Every command that a page shows is run, or looked up where it is not identikit's."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.console import Commands, blocks, check
from docs.page import PageError

ROOT = Path(__file__).parents[2]
PRINTED = "docs/examples.md"  # commands with all that they printed: tests/examples/test_page.py compares them
PAGES = ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]
PAGES = [page for page in PAGES if page != PRINTED]
BLOCKS = [block for page in PAGES for block in blocks(ROOT / page, page)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}: {block.commands[0][:40]}")
def test_block(block: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check(block, tmp_path)


WRONG = {
    "a verb that there is not": ("identikit shrink MODEL", '"identikit shrink ./my-bert" ends with exit code 2'),
    "an option that there is not": ("identikit sites MODEL --all", '"identikit sites ./my-bert --all" ends with exit'),
    "a file that is not there": ("identikit scan MODEL --data x.csv", "ends with exit code 2"),
    "a target that there is not": ("make coffee", '"make coffee": the Makefile has no target coffee'),
    "an extra that there is not": ('pip install "identikit[hf,gpu]"', "there is no extra gpu"),
    "a package that nothing pins": ("pip install leftpad", "leftpad is not in constraints.txt"),
    "a script that there is not": ("python benchmarks/x.py", "there is no benchmarks/x.py"),
    "an option of a script": ("python benchmarks/stsb.py --all", "benchmarks/stsb.py has no option --all"),
    "another program": ("curl example.org", "nothing runs it; add it to tests/docs/console.py"),
}


@pytest.mark.parametrize(("command", "said"), WRONG.values(), ids=WRONG)
def test_wrong(command: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PageError) as refused:
        check(Commands("page.md", 3, (command,)), tmp_path)
    assert str(refused.value).startswith("page.md:3: ")
    assert said in str(refused.value)


def test_output_among_commands_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# A\n\n```console\n$ make help\ndemo\n```\n")
    with pytest.raises(PageError) as refused:
        list(blocks(tmp_path / "page.md", "page.md"))
    assert str(refused.value) == 'page.md:4: "demo" is no command; write "$ " in front, or show output as ```text'


def test_a_continued_line_is_one_command(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```console\n$ make \\\n    help   # x\n```\n")
    (block,) = blocks(tmp_path / "page.md", "page.md")
    assert block.commands == ("make      help   # x",)
