"""The HTML page: its text is a golden file, it needs no network, nothing in a name is read as markup."""

from __future__ import annotations

import html as entities
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

import sample_results as sample
from identikit.errors import MissingExtraError, ResultError, SaveError
from identikit.reporting.html import html, report
from identikit.results import MetricInfo, Row, ScanResult, SiteInfo

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """The page's text outside of drawings and styles; fails on a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.lines: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in ("src", "srcset", "action"), name
            if name in ("href", "xlink:href"):
                assert (value or "").startswith("#"), value
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open) and data.strip():
            self.lines.append(" ".join(data.split()) if "pre" not in self.open else data)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("both.html.txt", Page(html((sample.scan(), sample.front()))).text)
    golden("held.html.txt", Page(html(sample.held_front())).text)
    golden("mixed.html.txt", Page(html(sample.mixed_scan())).text)


def test_self_contained_and_the_same_each_time() -> None:
    page = html((sample.scan(), sample.front()))
    assert page == html((sample.scan(), sample.front()))
    outside = [link for link in re.findall(r"https?://[^\s\"'<>]+", page) if "www.w3.org" not in link]
    assert outside == []  # w3.org: the names of SVG's vocabularies, never fetched
    assert "<script" not in page
    assert "@import" not in page
    assert "url(http" not in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("<svg") == 2
    ids = Page(page).ids
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("scan", [None, sample.scan()], ids=["front alone", "both"])
def test_what_prune_returns(scan: ScanResult | None) -> None:
    page = Page(html(SimpleNamespace(scan=scan, front=sample.front(), model=None)))
    assert "Goal: keep at least 95 % of the full fidelity" in page.text
    assert ("What each layer’s absence costs" in page.text) is (scan is not None)
    assert 'model = ik.remove(model, ik.Plan.of(["encoder.layer.1", "encoder.layer.2"]))' in page.text


def test_report_writes_and_methods_report(tmp_path: Path) -> None:
    written = report(sample.scan(), to=tmp_path / "a.html")
    assert written == tmp_path / "a.html"
    assert written.read_text(encoding="utf-8") == html(sample.scan())
    assert sample.scan().report(tmp_path / "b.html").read_bytes() == written.read_bytes()
    assert sample.front().report(tmp_path / "c.html").read_text(encoding="utf-8") == html(sample.front())
    with pytest.raises(SaveError, match=r"does not exist. Make it: mkdir -p"):
        report(sample.scan(), tmp_path / "no" / "a.html")


@pytest.mark.parametrize(
    ("result", "found"),
    [("scan.jsonl", "str"), ((), "nothing"), ((sample.scan(),) * 2, "ScanResult, ScanResult"), (7, "int")],
)
def test_what_is_no_result(result: object, found: str) -> None:
    with pytest.raises(ResultError) as caught:
        html(result)
    said = str(caught.value)
    assert "\n" not in said
    assert found == "nothing" or f"found {found}." in said


def test_an_empty_scan_and_one_point() -> None:
    Page(html(ScanResult(sample.header())))
    front = sample.front()
    assert "nothing" in Page(html(sample.front(points=front.points[:1], chosen=0))).text


def test_combinations_beside_single_layers() -> None:
    rows = [
        sample.row(0, places=(f"l.{n}", f"l.{n + 1}"), edited=1 - n / 1000, effect=-n / 1000) for n in range(1, 150)
    ]
    scan = ScanResult(sample.header(), [*sample.scan().rows, *rows])
    alone = Page(html(scan)).text
    assert "Several layers at once, the 100 cheapest" in alone
    assert "l.[100,101]" in alone
    assert "l.[101,102]" not in alone
    beside = Page(html((scan, sample.front()))).text  # there the curve shows what a search tried
    assert "Several layers" not in beside
    assert beside == Page(html((sample.scan(), sample.front()))).text


HOSTILE = '</title><script>alert(1)</script>" onload="x $\\frac{1}{0}$ ]]>'


def test_hostile_names() -> None:
    place = "a.<script>alert(1)</script>$x^$"
    scan = ScanResult(
        sample.header(
            name=HOSTILE,
            model=HOSTILE,
            command=HOSTILE,
            metrics={HOSTILE: MetricInfo(True, 1.0)},
            sites={place: SiteInfo(HOSTILE, HOSTILE, 1, 0.5, HOSTILE)},
            versions={HOSTILE: HOSTILE},
            notes=(HOSTILE,),
            total_parameters=1,
        ),
        [Row((place,), HOSTILE, 1.0, 0.5, -0.5)],
    )
    page = html(scan)
    assert "<script" not in page
    assert "alert(1)" in entities.unescape(page)
    assert HOSTILE in Page(page).text


@pytest.mark.parametrize("name", ["中文.0", "é.ü", "слой.3", "层.😀"])
def test_names_of_any_script(name: str) -> None:
    scan = ScanResult(sample.header(name=name, sites={}), [Row((name,), "fidelity", 1.0, 0.5, -0.5)])
    page = html(scan)  # a warning of matplotlib's on a missing glyph would fail the test
    assert page.count(name) >= 3


@pytest.mark.parametrize(
    ("library", "said"), [("jinja2", "a report needs jinja2"), ("matplotlib", "a figure needs matplotlib")]
)
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, library: str, said: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as caught:
        html(sample.scan())
    assert str(caught.value) == f'{said}. Install it: pip install "identikit[report]"'


def test_reading_and_showing_needs_neither_torch_nor_the_extra() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import sample_results as sample, identikit.reporting.html\n"
        "repr(sample.scan()), sample.front().to_markdown(), sample.scan()._repr_html_()\n"
        "print({'torch', 'matplotlib', 'jinja2', 'numpy'} & {name.split('.')[0] for name in sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
