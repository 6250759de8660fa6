"""The HTML page: its text is a golden file, it needs no network, nothing in a name is read as markup."""

from __future__ import annotations

import base64
import hashlib
import html as entities
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

import sample_results as sample
from identikit.errors import MissingExtraError, ResultError, SaveError
from identikit.reporting.html import html, report
from identikit.results import MetricInfo, Row, ScanResult, SiteInfo

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """The page's text outside of drawings, styles and scripts; fails on a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.lines: list[str] = []
        self.ids: list[str] = []
        self.feed(text.replace("<wbr>", ""))  # where a line may end
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
        if not {"style", "svg", "script"} & set(self.open) and data.strip():
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
    assert "@import" not in page
    assert "url(" not in page
    assert "style=" not in page
    assert "prefers-color-scheme: dark" in page
    assert page.count('<svg class="chart"') == 1
    ids = Page(page).ids
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("scan", [None, sample.scan()], ids=["front alone", "both"])
def test_what_prune_returns(scan: ScanResult | None) -> None:
    page = Page(html(SimpleNamespace(scan=scan, front=sample.front(), model=None)))
    assert "Goal: keep at least 95 % of the full fidelity" in page.text
    assert ("What each layer’s absence costs" in page.text) is (scan is not None)
    assert 'model = ik.remove(model, ik.Plan.of(["encoder.layer.1", "encoder.layer.2"]))' in page.text


def test_the_policy_allows_what_stands_in_the_page_and_nothing_else() -> None:
    page = html((sample.scan(), sample.front()))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    told = dict(part.strip().split(" ", 1) for part in entities.unescape(policy).split(";"))
    assert told.pop("default-src") == told.pop("base-uri") == told.pop("form-action") == "'none'"
    for kind, tag in (("style", "style"), ("script", "script")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert told.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert told == {}


def test_headings_landmarks_and_tables() -> None:
    page = html((sample.scan(), sample.front()))
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert [page.count(f"<{name}>") for name in ("header", "main", "footer")] == [1, 1, 1]
    assert page.count("<table") == page.count("<caption>") > 1
    assert not re.findall(r"<th(?![^>]*scope=)[ >]", page)
    assert page.count("<figure>") == len(re.findall(r'<figure><div role="img" aria-label="[^"]{20,}"', page))
    named = set(re.findall(r'aria-labelledby="([^"]*)"', page))
    assert named <= set(re.findall(r' id="([^"]*)"', page))


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


@pytest.mark.parametrize("key", ["fingerprint", "weights"])
def test_a_scan_and_a_front_of_different_models_are_no_page(key: str) -> None:
    """The map would call measured what was measured on another model."""
    with pytest.raises(ResultError) as caught:
        html((sample.scan(**{key: "other"}), sample.front()))
    mine = getattr(sample.header(), key)
    assert str(caught.value) == (
        f"this scan and this front are of different models: {key} other and {mine}. Draw each on a page of its own."
    )


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
    assert page.count("<script") == 1  # the page's own
    assert "alert(1)" in entities.unescape(page)
    assert HOSTILE in Page(page).text


@pytest.mark.parametrize("name", ["中文.0", "é.ü", "слой.3", "层.😀"])
def test_names_of_any_script(name: str) -> None:
    scan = ScanResult(sample.header(name=name, sites={}), [Row((name,), "fidelity", 1.0, 0.5, -0.5)])
    page = html(scan)
    assert page.count(name) >= 3


@pytest.mark.parametrize(
    ("library", "act", "said"),
    [
        ("jinja2", lambda: html(sample.scan()), "a report needs jinja2"),
        ("matplotlib", lambda: sample.scan().plot(), "a figure needs matplotlib"),
    ],
)
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, library: str, act: Callable[[], object], said: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as caught:
        act()
    assert str(caught.value) == f'{said}. Install it: pip install "identikit[report]"'


def test_reading_and_showing_needs_neither_torch_nor_the_extra() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import sample_results as sample, identikit.reporting.html\n"
        "repr(sample.scan()), sample.front().to_markdown(), sample.scan()._repr_html_()\n"
        "print({'torch', 'matplotlib', 'jinja2', 'numpy'} & {name.split('.')[0] for name in sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_of_a_report_is_on_its_page_and_small(scheme: str) -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert f"(images/report-{scheme}.png)" in (docs / "report.md").read_text(encoding="utf-8")
    picture = (docs / "images" / f"report-{scheme}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
