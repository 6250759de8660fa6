"""The report in a real browser: clicks, keys, no script, a phone, the dark; what it writes is what Python writes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import identikit as ik
import sample_results as sample
from browser.conftest import Opens
from identikit.plan import Edit, Plan
from identikit.reporting import repeat
from identikit.results import MetricInfo, Row, ScanResult, SiteInfo

STRANGE = "a.</script><img_src=x_onerror=alert(1)>`\"$x^$(touch_owned)'#".replace("/", "")
ZERO = {"format": "identikit.plan", "version": 1, "model": "", "fingerprint": "", "weights": ""}


def nested(**changes: Any) -> ScanResult:
    """Two blocks, each with an attention that was zeroed; the second one's was not measured. And a strange name."""
    sites = {
        "l.0": SiteInfo("Block", "block", 100, 0.4),
        "l.0.attn": SiteInfo("Attention", "branch", 40, 0.1),
        "l.1": SiteInfo("Block", "block", 100, 0.4),
        "l.1.attn": SiteInfo("Attention", "unproved", 40, 0.1, "neither a block nor a proved branch"),
        STRANGE: SiteInfo("<b>", "block", 7),
    }
    metrics = {"fidelity": MetricInfo(True, 1.0, "paired", 0.95), "loss": MetricInfo(False, 2.0)}
    zero = ZERO | {"edits": [{"op": "zero", "at": "l.0.attn", "options": {}}]}
    rows = [Row((place,), "fidelity", 1.0, 0.9, -0.1, -0.12, -0.08, 50) for place in ("l.0", "l.1", STRANGE)]
    rows += [Row(("l.0.attn",), "fidelity", 1.0, 0.95, -0.05, -0.06, -0.04, 50, plan=zero)]
    rows += [Row(("l.0", "l.1"), "fidelity", 1.0, 0.7, -0.3, -0.33, -0.27, 50)]
    rows += [Row(("l.0",), "loss", 2.0, 2.25, 0.25)]
    values = {"sites": sites, "metrics": metrics, "total_parameters": 1000, "model": "Net", "name": "it's $HOME; `x`"}
    return ScanResult(sample.header(**values | changes), rows)


def many(count: int) -> ScanResult:
    sites = {f"model.layers.{n}": SiteInfo("Layer", "block", 10, 1 / count) for n in range(count)}
    rows = [Row((place,), "fidelity", 1.0, 1 - n / 9e4, -n / 9e4) for n, place in enumerate(sites)]
    return ScanResult(sample.header(sites=sites, total_parameters=10 * count), rows)


def box(page: Any, place: str) -> Any:
    """The button of a place."""
    numbers = [layer["place"] for layer in json.loads(page.locator("#data").text_content())["layers"]]
    return page.locator(f'button[data-layer="{numbers.index(place)}"]')


def said(page: Any) -> str:
    return " ".join(page.locator("#said").inner_text().split())


def lines(page: Any) -> tuple[str, str]:
    return page.locator("#command").text_content(), page.locator("#python").text_content()


def test_one_layer_is_what_was_measured(opens: Opens) -> None:
    page = opens(sample.scan())
    assert said(page).startswith("The full model: no layer is out. fidelity 1.000")
    assert not page.locator("#lines").is_visible()
    layer = box(page, "encoder.layer.2")
    assert layer.get_attribute("aria-pressed") == "false"
    assert layer.get_attribute("aria-label") == "encoder.layer.2, cost +0.018, out of the model"
    layer.click()
    assert layer.get_attribute("aria-pressed") == "true"
    assert said(page) == (
        "measured 1 layer out: encoder.layer.2 fidelity 0.9822 ± 0.0015 cost +0.0178, +0.0163 to +0.0193 (95 %) "
        "measured on 200 examples parameters 20.9 M -7.8 % time ≈ -15.9 % of a pass: an estimate, the sum of the "
        "layers’ shares"
    )
    assert page.locator("#said").get_attribute("aria-live") == "polite"
    layer.click()
    assert layer.get_attribute("aria-pressed") == "false"
    assert said(page).startswith("The full model")
    assert page.locator("#clear").is_disabled()


def test_a_set_that_was_not_measured_is_an_estimate_and_says_so(opens: Opens) -> None:
    page = opens(sample.scan())
    for number in (2, 0):
        box(page, f"encoder.layer.{number}").click()
    told = said(page)
    assert told.startswith("estimate 2 layers out: encoder.layer.0, encoder.layer.2 fidelity ≈ 0.9305")
    assert "cost ≈ +0.0695, the sum of the single costs" in told  # 0.0517 + 0.0178
    assert "This set was not measured. Costs do not add: measure it before you trust it." in told
    assert "parameters 19.2 M -15.6 %" in told
    page.locator("#clear").click()
    assert said(page).startswith("The full model")
    assert page.evaluate("document.activeElement.dataset.layer") == "0"


def test_sets_that_were_measured(opens: Opens) -> None:
    page = opens((sample.scan(), sample.held_front()))
    assert said(page).startswith("measured 2 layers out: encoder.layer.1, encoder.layer.2 fidelity 0.9479 ± 0.0060")
    assert "measured on 50 held-out examples" in said(page)
    assert "parameters 19.2 M -15.6 % time 14.7 ms a pass measured" in said(page)
    box(page, "encoder.layer.3").click()
    assert said(page).startswith("measured 3 layers out")
    box(page, "encoder.layer.5").click()
    assert said(page).startswith("estimate 4 layers out")
    page.get_by_role("button", name="on the map").first.click()
    assert said(page).startswith("measured 1 layer out: encoder.layer.2")
    assert "0.9822 ± 0.0015 on 200 examples of the search" in said(page)  # beside the held-out ones
    assert page.evaluate("document.activeElement.id") == "said"


def test_what_lies_in_a_layer_goes_with_it(opens: Opens) -> None:
    page = opens(nested())
    block, part = box(page, "l.0"), box(page, "l.0.attn")
    part.click()
    assert said(page).startswith("measured 1 layer out: l.0.attn fidelity 0.950 ± 0.010")
    assert "loss not known" in said(page)
    block.click()
    assert said(page).startswith("measured 1 layer out: l.0 fidelity")
    assert "parameters 900 -10.0 %" in said(page)
    assert part.get_attribute("aria-disabled") == "true"
    assert part.get_attribute("aria-pressed") == "true"
    assert part.get_attribute("title").endswith("goes with l.0")
    part.click(force=True)  # does nothing
    assert said(page).startswith("measured 1 layer out: l.0 fidelity")
    box(page, "l.1").click()
    assert said(page).startswith("measured 2 layers out: l.0, l.1 fidelity 0.700 ± 0.030")
    block.click()
    assert said(page).startswith("estimate 2 layers out: l.0.attn, l.1 fidelity ≈ 0.850")
    assert part.get_attribute("aria-disabled") is None


def test_what_was_not_measured_cannot_be_clicked_and_the_page_says_why(opens: Opens) -> None:
    page = opens(nested())
    assert box(page, "l.1.attn").count() == 0
    assert page.locator("span.box.fixed").inner_text() == "attn"
    assert "Cannot be clicked: l.1.attn (neither a block nor a proved branch)." in page.locator(".groups").inner_text()


@pytest.mark.parametrize("places", [("l.1",), ("l.1", "l.0.attn"), ("l.1", "l.0"), ("l.0", STRANGE), (STRANGE,)])
def test_its_lines_are_those_of_python(places: tuple[str, ...], opens: Opens, tmp_path: Path) -> None:
    scan = nested()
    page = opens(scan)
    for place in places:
        box(page, place).click()
    edits = [Edit("zero" if place == "l.0.attn" else "identity", place) for place in places]
    command, python = lines(page)
    assert command == repeat.plan_command(scan.header, edits)
    assert python == repeat.plan_python(scan.header, edits)
    check_shell(command, Plan(frozenset(edits)), tmp_path)
    removed: list[Plan] = []
    run = {"identikit": None, "remove": lambda _, plan: removed.append(plan)}
    code = python.replace("import identikit as ik\n", "").replace('ik.save(model, "smaller")', "")
    code = code.replace("ik.remove(", "remove(")
    exec(code, run | {"ik": ik})
    assert removed == [Plan(frozenset(edits))]


def check_shell(command: str, plan: Plan, folder: Path) -> None:
    """A shell that is given the lines writes the plan, and calls what they say with the words they say."""
    shell = f"identikit() {{ printf '%s\\n' \"$@\" >words; }}\n{command}\n"
    subprocess.run(["bash", "-euc", shell], cwd=folder, check=True, capture_output=True)
    assert (folder / "words").read_text().split("\n") == [
        "apply", "it's $HOME; `x`", "plan.json", "--to", "smaller", "",
    ]  # fmt: skip
    read = Plan.read(folder / "plan.json")
    assert read.edits == plan.edits
    assert (read.model, read.fingerprint) == ("Net", sample.header().fingerprint)
    assert {file.name for file in folder.iterdir()} == {"words", "plan.json", "report 0.html"}


def test_its_lines_do_what_they_say(opens: Opens, tmp_path: Path) -> None:
    small = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=4, **small)).eval()
    batch = {"input_ids": torch.tensor([[5, 17, 42, 8], [3, 9, 2, 7]])}
    page = opens(ik.scan(model, [batch], metrics="fidelity", costs=False))
    for number in (1, 3):
        box(page, f"model.layers.{number}").click()
    with ik.bypass(model, "model.layers.[1,3]"):
        expected = model(**batch).logits
    code = lines(page)[1].replace("model = ...", "model = made")
    run = {"made": model}
    exec(code.replace('"smaller"', repr(str(tmp_path / "smaller"))), run)
    saved = LlamaForCausalLM.from_pretrained(tmp_path / "smaller")
    assert saved.config.num_hidden_layers == 2
    assert torch.allclose(saved(**batch).logits, expected, atol=1e-5)


def test_keys(opens: Opens) -> None:
    page = opens(sample.scan())
    box(page, "encoder.layer.0").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert said(page).startswith("estimate 2 layers out: encoder.layer.0, encoder.layer.1")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert said(page).startswith("measured 1 layer out: encoder.layer.1")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    unreached = page.evaluate("[...document.querySelectorAll('button')].filter((one) => one.tabIndex < 0).length")
    assert unreached == 0


def test_tables_are_sorted(opens: Opens) -> None:
    page = opens(sample.scan())
    rows = page.locator("table.costs tbody th")
    depth = [f"encoder.layer.{n}" for n in range(6)]
    assert [text.split()[0] for text in rows.all_inner_texts()] == depth
    by_cost = page.get_by_role("button", name="by cost")
    by_cost.click()
    assert by_cost.get_attribute("aria-pressed") == "true"
    assert [text.split()[0][-1] for text in rows.all_inner_texts()] == ["2", "3", "1", "4", "0", "5"]
    page.get_by_role("button", name="by depth").click()
    assert by_cost.get_attribute("aria-pressed") == "false"
    assert [text.split()[0] for text in rows.all_inner_texts()] == depth


def test_lines_are_copied(opens: Opens) -> None:
    page = opens(sample.front(), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: In Python", exact=True).click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == lines(page)[1]


@pytest.mark.parametrize("result", [nested(), (sample.scan(), sample.front())], ids=["scan", "both"])
def test_without_a_script_all_is_there_and_no_button(result: object, opens: Opens) -> None:
    page = opens(result, java_script_enabled=False)
    buttons = page.get_by_role("button")
    assert [buttons.nth(number).is_visible() for number in range(buttons.count())] == []
    assert not page.get_by_text("A click takes").is_visible()
    assert page.locator(".panel").is_visible() is False
    for seen in ("table.costs", ".boxes .box", "table.costs svg.bar", "caption"):
        assert page.locator(seen).first.is_visible(), seen
    assert page.locator("figure svg").count() == len(page.locator("figure").all())


RESULTS = {
    "scan": sample.scan(),
    "front": sample.front(),
    "both": (sample.scan(), sample.held_front()),
    "mixed": sample.mixed_scan(),
    "strange": nested(),
    "hundred": many(100),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_phone_and_enough_contrast(name: str, opens: Opens) -> None:
    page = opens(RESULTS[name], width=360)
    page.locator("button[data-layer]").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for scheme, paper in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(18, 20, 24)")):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        assert page.evaluate(CONTRAST) == []


# Every text that is seen, with its colour on what lies under it; a pixel of a canvas says what a colour is.
CONTRAST = """() => {
  const dot = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const paint = (colours) => {
    dot.clearRect(0, 0, 1, 1);
    for (const colour of colours) { dot.fillStyle = colour; dot.fillRect(0, 0, 1, 1); }
    return [...dot.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, of = node.parentElement, style = getComputedStyle(of);
    if (!node.data.trim() || !of.checkVisibility() || of.closest("script, :disabled, .hear, title")) continue;
    const under = [];
    for (let each = of; each; each = each.parentElement) under.unshift(getComputedStyle(each).backgroundColor);
    const colour = of.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(paint(under)), light(paint([...under, colour]))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) weak.push(`${node.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(weak)];
}"""


def test_a_thousand_layers(opens: Opens) -> None:
    page = opens(many(1000))
    assert len(page.content()) < 2_000_000
    assert page.locator("button[data-layer]").count() == 1000
    box(page, "model.layers.999").click()
    assert said(page).startswith("measured 1 layer out: model.layers.999 fidelity 0.98")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.locator("#said").is_visible()


def test_names_are_text(opens: Opens) -> None:
    page = opens(nested(name=STRANGE, model=STRANGE, notes=(STRANGE,), command=STRANGE))
    box(page, STRANGE).click()
    assert STRANGE in said(page)
    assert STRANGE in page.locator("table.costs").first.inner_text()
    assert page.evaluate("document.querySelectorAll('img, script:not([id])').length") == 1  # its own script


def test_on_paper(opens: Opens) -> None:
    page = opens((sample.scan(), sample.front()), color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator(".panel").is_visible()
    assert [one for one in page.locator("button:not(.box)").all() if one.is_visible()] == []
    assert page.locator("table.costs").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_nothing_is_said_twice_by_an_id(opens: Opens) -> None:
    page = opens((sample.scan(), sample.held_front()))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(set(ids)) == len(ids)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((one) => one.tagName)")
    assert re.fullmatch(r"H1( H2( H3)*)+", " ".join(levels))
