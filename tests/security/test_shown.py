"""Names from a stranger, shown: on a page, in Markdown, in a notebook, on a terminal. They are text, no more."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

import sample_results as sample
from identikit.cli import console, main
from identikit.errors import IdentikitWarning
from identikit.plan import Edit, Plan
from identikit.reporting import html, text
from identikit.reporting.card import Facts, Proof, card
from identikit.reporting.findings import findings_table
from identikit.reporting.fragment import front_fragment, scan_fragment
from identikit.reporting.healed import healed_table
from identikit.reporting.markdown import escape, front_markdown, scan_markdown
from identikit.results import DataInfo, Front, MetricInfo, Point, Row, ScanResult, Score, SiteInfo
from identikit.results.finding import Finding, Findings
from identikit.results.healed import Healed
from identikit.results.provenance import Figure, Provenance, Step
from security.traps import HOSTILE_TEXTS

each_text = pytest.mark.parametrize("hostile", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
PLACE = 'a.<script>alert(1)|[b](c)`"$x^$#'  # what of it a path may hold


def results(hostile: str) -> tuple[ScanResult, Front]:
    """A scan and a front that hold the text wherever a text goes."""
    metric = one_line(hostile)
    header = sample.header(
        name=hostile,
        model=hostile,
        fingerprint=hostile,
        weights=hostile,
        device=hostile,
        dtype=hostile,
        command=hostile,
        data=DataInfo(hostile, hostile, 3),
        metrics={metric: MetricInfo(True, 1.0, "paired", 0.95), "kl": MetricInfo(False, 0.0)},
        sites={PLACE: SiteInfo(hostile, hostile, 1, 0.5, hostile)},
        versions={hostile: hostile},
        notes=(hostile,),
        total_parameters=1,
    )
    rows = [Row((PLACE,), name, 1.0, 0.5, -0.5, engine=hostile) for name in (metric, "kl")]
    score = {metric: Score(1.0, 1.0, 0.0), "kl": Score(0.0, 0.0, 0.0)}
    points = (Point((), score, selection=score), Point((PLACE,), score, selection=score))
    told = {"goal": hostile, "why": (hostile, hostile), "chosen_on": DataInfo(hostile, hostile, 3)}
    return ScanResult(header, rows), Front(header, points, 1, **told)


def one_line(hostile: str) -> str:
    """What of a text the name of a metric may hold."""
    return "".join(sign for sign in hostile if sign.isprintable())


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


LEADS = ("href", "src", "xlink:href", "action", "formaction", "data", "srcset")


DATA: dict[str, str | None] = {"type": "application/json", "id": "data"}


def check_page(page: str) -> Elements:
    """Nothing on it runs, and nothing is fetched."""
    found = Elements(page)
    scripts = [attributes for tag, attributes in found.found if tag == "script"]
    assert scripts in ([], [{}], [DATA, {}]), scripts
    for tag, attributes in found.found:
        assert tag not in ("img", "iframe", "object", "embed", "link", "base", "form", "a", "foreignobject")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, attributes)
            assert name not in LEADS or str(value).startswith("#"), (tag, attributes)
    return found


@each_text
def test_a_page(hostile: str) -> None:
    usual = {(tag, *sorted(given)) for tag, given in Elements(html.html((sample.scan(), sample.held_front()))).found}
    page = check_page(html.html(results(hostile)))
    known = {tag for tag, *_ in usual}
    assert {tag for tag, _ in page.found} <= known | {"h3", "script", "figcaption"}
    assert PLACE in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    check_page(html.html(results(hostile)[0]))


@each_text
def test_a_map(hostile: str) -> None:
    """What the page's script works with ends no element, and holds each name as the text that it is."""
    place = 'a.</script><img_src=x_onerror=alert(1)>`"$x^$#'.replace("/", "")
    scan, front = results(hostile)
    header = dataclasses.replace(scan.header, sites={place: SiteInfo(hostile, hostile, 1, 0.5, hostile)})
    rows = [dataclasses.replace(row, places=(place,)) for row in scan.rows]
    page = html.html((ScanResult(header, rows), front))
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert not set(text) & set("<>&\u2028\u2029")
    data = json.loads(text)
    assert [layer["place"] for layer in data["layers"]] == [place, PLACE]
    assert data["layers"][0]["text"] == json.dumps(place)
    assert json.loads(data["layers"][0]["edit"])["at"] == place
    assert all(sign.isprintable() or sign == "\n" for sign in "".join(data["command"] + data["python"]))
    (own,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert not {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} & set(own.split("."))
    assert "HTML" not in own


@each_text
def test_a_notebook(hostile: str) -> None:
    scan, front = results(hostile)
    for page in (scan_fragment(scan), front_fragment(front)):
        found = check_page(page)
        assert {tag for tag, _ in found.found} <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
        assert PLACE in found.text


PLAIN = {"html_inline", "html_block", "link_open", "image", "code_block", "fence", "hr", "heading_open", "em_open"}
LISTS = {"bullet_list_open", "ordered_list_open", "blockquote_open", "s_open"}


def tokens(markdown: str) -> list[Any]:
    """What a reader of Markdown makes of a text, with HTML let through: paragraphs, tables, and what is in them."""
    found: list[Any] = []
    for block in MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown):
        found += [block, *(block.children or [])]
    return found


@each_text
def test_markdown(hostile: str) -> None:
    for told in map(lambda made, result: made(result), (scan_markdown, front_markdown), results(hostile)):
        kinds = {token.type for token in tokens(told)}
        assert not kinds & (PLAIN | LISTS), told
        assert PLACE in shown(told)


def shown(markdown: str) -> str:
    return "".join(token.content for token in tokens(markdown) if token.type in ("text", "text_special"))


@each_text
def test_a_text_in_markdown_stays_that_text(hostile: str) -> None:
    """A whole paragraph of it is one paragraph, with every visible sign of it."""
    read = tokens(escape(hostile))
    assert {token.type for token in read} <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}
    assert shown(escape(hostile)).split() == console.clean(hostile).split()


@each_text
def test_a_card(hostile: str) -> None:
    figure = Figure(one_line(hostile), 0.5, full=1.0, data=DataInfo(hostile, hostile, 3))
    step = Step(hostile, (hostile,), goal=hostile, figures=(figure,), name=f"x/{hostile}", command=hostile)
    facts = Facts(
        kind=hostile,
        form="checkpoint",
        plan=Plan(frozenset({Edit("identity", PLACE, (("x", hostile),))})),
        loads="pass",
        proof=Proof("it was read again"),
        parameters=1,
        matter={"license": hostile, "tags": (hostile,)},
        versions={hostile: hostile},
        provenance=Provenance((step,)),
        holds=(False,),
    )
    usual = dataclasses.replace(
        facts,
        kind="a",
        plan=Plan.of(["a"]),
        matter={"license": "a", "tags": ("a",)},
        versions={"a": "a"},
        provenance=Provenance((Step("a", ("a",), "a", (Figure("a", 0.5, full=1.0),), "a", "a"),)),
    )
    assert structure(card(facts)) == structure(card(usual))


def structure(text: str) -> list[str]:
    """The blocks of a card and what is in them, without the texts."""
    return [token.type for token in tokens(text.split("---\n", 2)[2]) if token.type not in ("text", "text_special")]


def on_a_terminal(what: Any) -> str:
    """What a terminal with colours gets."""
    file = StringIO()
    Console(file=file, width=100, force_terminal=True, color_system="truecolor", legacy_windows=False).print(what)
    return file.getvalue()


def check_terminal(printed: str) -> None:
    """No sign steers the terminal but rich's own colours."""
    for part in printed.split("\x1b")[1:]:
        assert part.startswith("["), ascii(part[:20])
        assert part[1:].partition("m")[0].replace(";", "").isdigit(), ascii(part[:20])
    rest = printed.replace("\x1b", "")
    assert not {sign for sign in rest if not sign.isprintable() and sign != "\n"}


@each_text
def test_tables_on_a_terminal(hostile: str) -> None:
    scan, front = results(hostile)
    finding = Finding("kind", hostile, "note", hostile, hostile)
    healed = Healed(hostile, hostile, 1.0, 0.5, 1, 1, 1.0, hostile, hostile, 1, 1, 0.1, notes=(hostile,))
    site = dataclasses.make_dataclass("Site", ["path", "kind", "role", "parameters", "verdict"])
    tables = [
        text.scan_table(scan),
        text.front_table(front),
        text.summary_table(front),
        text.sites_table([site(hostile, hostile, "block", 1, hostile)]),
        findings_table(Findings([finding], hostile, ())),
        healed_table(healed),
    ]
    for table in tables:
        check_terminal(on_a_terminal(table))


@each_text
def test_lines_on_a_terminal(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.note(f"page: {hostile}")
    console.show(hostile)
    console.complain(f"no layer {hostile}")
    printed = capsys.readouterr()
    assert all(sign.isprintable() or sign == "\n" for sign in printed.out + printed.err)
    assert printed.err.count("\nerror: ") == 1
    for markup in ("[red]a[/red]", "[link=http://127.0.0.1]b[/link]", ":boom:"):
        assert (markup in printed.out) is (markup in hostile)


@pytest.mark.parametrize("sign", ["\x1b]0;owned\x07", "\x9b2J", "\u202e", "\x08\x08"], ids=ascii)
def test_a_refusal_of_a_file_does_not_steer_the_terminal(
    sign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with a file is told in its own words, so those are made safe."""
    header = {"format": "identikit.scan", "version": 1} | sample.header().to_json()
    spoiled: list[str] = [
        json.dumps(header | {sign: 1}),
        json.dumps(header | {"metrics": {sign: 1}}),
        json.dumps(header | {"sites": {sign: 1}}),
        json.dumps(header)[:-1] + f', "{sign}": 1, "{sign}": 2}}',
        json.dumps(header) + "\n" + json.dumps(sample.row(0).to_json() | {"metric": sign}),
        json.dumps(header) + "\n" + json.dumps(sample.row(0).to_json() | {"places": [sign]}),
    ]
    for number, lines in enumerate(spoiled):
        path = tmp_path / f"scan{number}{sign.replace('/', '')}.jsonl"
        path.write_text(f"{lines}\n")
        with pytest.raises(SystemExit), warnings.catch_warnings():
            main(["report", str(path), "--to", str(tmp_path / "page.html")])
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        assert said.strip().isprintable(), ascii(said)
    assert not (tmp_path / "page.html").exists()


@each_text
def test_a_warning_does_not_steer_the_terminal(hostile: str) -> None:
    """A layer's name may stand in it. It is one line, without the line of code that it comes from."""
    plain = warnings.formatwarning
    with console.warnings_as_notes():
        said = warnings.formatwarning(IdentikitWarning(hostile), IdentikitWarning, "mine.py", 3)
        other = warnings.formatwarning(UserWarning(hostile), UserWarning, "mine.py", 3)
    assert warnings.formatwarning is plain
    assert other == plain(UserWarning(hostile), UserWarning, "mine.py", 3)
    assert said.startswith("note: ")
    assert said.endswith("\n")
    assert said[:-1].isprintable()


WARNS = """
import warnings
from torch import nn
from identikit.errors import IdentikitWarning

def model():
    warnings.warn("a\x1b[2Jlayer\\nof two lines", IdentikitWarning)
    return nn.Sequential(nn.Linear(2, 2))
"""


def test_the_command_line_says_a_warning_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WARNS)
    command = [sys.executable, "-m", "identikit", "sites", f"{tmp_path / 'mine.py'}:model"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "note: a" in done.stderr, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert line.isprintable()
    assert line.endswith("layer of two lines")
