"""What a notebook shows of sites, plans, handles and findings: tables, escaped, without colour or script."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn

import identikit as ik
import sample_results as sample
from identikit.plan import Edit, Plan
from identikit.pruning.prune import Pruned
from identikit.results.finding import Finding, Findings
from identikit.structure.site import Site, Sites

HOSTILE = "<script>alert(1)</script>|\x1b"


def sites() -> Sites:
    found = [
        Site("encoder.layer.0", "BertLayer", "block", 1_774_464, "ok"),
        Site("encoder.layer.1|x", "Bert<Layer>", "unproved", 0, "later layers read *it*"),
    ]
    return Sites(found, "BertModel")


def shown() -> dict[str, str]:
    plan = Plan.of(["a.1", "a.10"], model="BertModel") | Plan(frozenset({Edit("mean", "a.2", (("rows", 3),))}))
    wrong = Findings([Finding("relu", "a", "mistake", "x < 0 is lost", "nn.GELU()")], "BertModel", ("relu",))
    return {
        "sites": sites()._repr_html_(),
        "no sites": Sites()._repr_html_(),
        "plan": plan._repr_html_(),
        "no plan": Plan()._repr_html_(),
        "findings": wrong._repr_html_(),
        "no findings": Findings((), "BertModel", ("relu", "gelu"))._repr_html_(),
        "scan": sample.scan()._repr_html_(),
        "front": sample.front()._repr_html_(),
    }


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("notebook.html", "".join(f"<!-- {name} -->\n{text}\n" for name, text in shown().items()))
    golden("sites.md", sites().to_markdown())


def test_it_reads_on_any_ground() -> None:
    for name, text in shown().items():
        styles = " ".join(re.findall(r'style="([^"]*)"', text))
        assert not re.search(r"color|background|#[0-9a-f]{3}", styles), name
        assert "<script" not in text
        assert " class=" not in text


def test_a_handle_shows_its_plan_and_its_calls() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    handle = ik.bypass(model, "1", inputs=torch.ones(2, 4))
    assert "Plan for Sequential (applied): 1 edit" in handle._repr_html_()
    assert re.search(r">calls<.*>identity<.*>1<.*>1<", handle._repr_html_())
    handle.undo()
    assert "(undone)" in handle._repr_html_()


def test_what_prune_returns_shows_its_curve() -> None:
    pruned = Pruned(nn.Identity(), sample.front().plan(), sample.front(), sample.scan())
    assert pruned._repr_html_() == sample.front()._repr_html_()
    assert pruned.to_markdown() == sample.front().to_markdown()


def test_hostile_names() -> None:
    wrong = Findings([Finding(HOSTILE, HOSTILE, "note", HOSTILE, HOSTILE)], HOSTILE, (HOSTILE,))
    texts = [
        Sites([Site(HOSTILE, HOSTILE, "block", 1, HOSTILE)], HOSTILE)._repr_html_(),
        Plan(frozenset({Edit("identity", "a", (("x", HOSTILE),))}), model=HOSTILE)._repr_html_(),
        wrong._repr_html_(),
        Findings((), HOSTILE, (HOSTILE,))._repr_html_(),
    ]
    for text in texts:
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert "\x1b" not in text
