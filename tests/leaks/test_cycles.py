"""A thousand times applied and undone: nothing grows, no hook stays, and a model that nobody holds is gone."""

from __future__ import annotations

import copy
import gc
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import torch
from torch import nn

import identikit as ik
import small_net
from identikit.batches import Batch
from identikit.errors import PlaceError, RoleError
from leaks.held import ROOM, growth, hooks, least_growth
from zoo import Case, case

FEW = ["tuples", "shared", "tied", "encoder_pre_norm"]
ROUNDS = 12  # of a verb: what each leaves stands out from what one of them did
MEGABYTES = 4.0  # that the process may grow by in 1,000 cycles: the allocator's own rounding


def ready(name: str) -> tuple[nn.Module, Batch, Any, Case]:
    """A model, its batch, and a plan that takes one block out."""
    entry = case(name)
    model = entry.build()
    batch = entry.inputs(model)
    with ik.bypass(model, entry.blocks()[1], inputs=batch) as handle:
        return model, batch, handle.plan, entry


def nothing_stays(model: nn.Module, round_: Callable[[], Any], rounds: int = ROUNDS, *, warm: int = 2) -> None:
    before = hooks(model)
    grown = least_growth(round_, rounds, warm=warm)
    assert hooks(model) == before
    assert grown["objects"] <= ROOM, grown
    assert grown["tensors"] <= 0, grown
    assert grown["tensor_bytes"] <= 0, grown


@pytest.mark.parametrize("name", FEW)
def test_applied_and_undone(name: str) -> None:
    model, batch, plan, _ = ready(name)

    def round_() -> None:
        with ik.apply(model, plan, inputs=batch), torch.no_grad():
            batch.call(model)

    nothing_stays(model, round_)


@pytest.mark.long
@pytest.mark.parametrize("name", ["tuples", "shared", "bert"])
def test_a_thousand_cycles(name: str) -> None:
    model, batch, plan, _ = ready(name)
    process = psutil.Process()

    def round_() -> None:
        with ik.apply(model, plan, inputs=batch):
            pass

    for _ in range(50):
        round_()
    before, start = hooks(model), process.memory_info().rss
    grown = growth(round_, 750, warm=0)
    assert hooks(model) == before
    assert max(grown["objects"], grown["tensors"], grown["tensor_bytes"]) <= 0.01, grown
    assert grown["blocks"] <= 1.0, grown
    assert (process.memory_info().rss - start) / 2**20 <= MEGABYTES
    assert traced(round_, 100) <= 300  # bytes: an empty dictionary has 64, a tensor some hundred


def traced(round_: Callable[[], Any], rounds: int) -> float:
    """Bytes that a round leaves behind, as Python's own memory tracer counts them, after as many that fill free lists.

    It knows what was allocated since it began alone: what takes the place of something older looks like growth.
    """
    tracemalloc.start()
    try:
        for _ in range(rounds):
            round_()
        gc.collect()
        first, _ = tracemalloc.get_traced_memory()
        for _ in range(rounds):
            round_()
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - first) / rounds
    finally:
        tracemalloc.stop()


class Failing(nn.Module):
    """Raises what it is told to, once armed."""

    def __init__(self) -> None:
        super().__init__()
        self.error: list[BaseException] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.error:
            raise self.error[0]
        return x


def net(*, failing: bool = False) -> Any:
    model = small_net.made()
    if failing:
        model.layers.append(Failing())
    return model.eval()


X = small_net.batches()[0][0]


def refused(act: Callable[[], Any], kind: type[BaseException]) -> None:
    try:
        act()
    except kind:
        return
    raise AssertionError("it was not refused")


def stopped(model: Any) -> None:
    """Ctrl-C in the middle of a pass: of the checked one, of the one in the block."""
    model.layers[4].error.append(KeyboardInterrupt())
    refused(lambda: ik.bypass(model, "layers.1", inputs=X), KeyboardInterrupt)
    model.layers[4].error.clear()

    def within() -> None:
        with ik.bypass(model, "layers.1", inputs=X):
            model.layers[4].error.append(KeyboardInterrupt())
            model(X)

    refused(within, KeyboardInterrupt)
    model.layers[4].error.clear()


def raised(model: Any) -> None:
    def within() -> None:
        with ik.bypass(model, "layers.1", inputs=X):
            raise ZeroDivisionError

    refused(within, ZeroDivisionError)


def audited(model: Any) -> None:
    """What backward never reaches is kept by autograd until the pass is gone, and with it what it holds."""

    class Unread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.extra = model, nn.Sequential(nn.Linear(6, 6), nn.Tanh())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.extra(x)
            return self.inner(x)

    ik.audit(Unread(), X)


def failed_inside(model: Any) -> None:
    model.layers[4].error.append(ValueError("no"))
    refused(lambda: ik.audit(model, X), Exception)
    refused(lambda: ik.sites(model, inputs=X), Exception)
    model.layers[4].error.clear()


def audit_stopped(model: Any) -> None:
    model.layers[4].error.append(KeyboardInterrupt())
    refused(lambda: ik.audit(model, X), KeyboardInterrupt)
    model.layers[4].error.clear()


def scanned_and_stopped(model: Any) -> None:
    """Ctrl-C in the fifth pass."""
    calls: list[int] = []

    def stop(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    hook = model.layers[2].register_forward_hook(stop)
    refused(lambda: ik.scan(model, [X, X[:2]], at="layers.[0:2]", metrics="kl", progress=False), KeyboardInterrupt)
    hook.remove()


VERBS: dict[str, Callable[[Any], Any]] = {
    "sites": lambda model: ik.sites(model, inputs=X),
    "audit": lambda model: ik.audit(model, X),
    "audit of a layer that nothing reads": lambda model: audited(model),
    "scan": lambda model: ik.scan(model, [X, X[:2]], metrics="kl", progress=False),
    "only": lambda model: ik.only(model, "layers.1", inputs=X).undo(),
    "mean": lambda model: ik.bypass(model, "layers.1", inputs=X, as_="mean", data=[X]).undo(),
    "a place that is none": lambda model: refused(lambda: ik.bypass(model, "layers.9", inputs=X), PlaceError),
    "a role that is none": lambda model: refused(lambda: ik.bypass(model, "head", inputs=X), RoleError),
    "an error in the block": raised,
}
FAILING: dict[str, Callable[[Any], Any]] = {
    "an interrupt": stopped,
    "an error in the model": failed_inside,
    "an audit that is interrupted": audit_stopped,
    "a scan that is interrupted": scanned_and_stopped,
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_a_verb_leaves(verb: str) -> None:
    model = net()
    nothing_stays(model, lambda: VERBS[verb](model))


@pytest.mark.parametrize("verb", FAILING)
def test_what_a_verb_that_is_stopped_leaves(verb: str) -> None:
    model = net(failing=True)
    nothing_stays(model, lambda: FAILING[verb](model))


def test_a_head_cut_off_and_a_cut_that_is_refused() -> None:
    entry = case("resnet")
    model = entry.build()
    batch = entry.inputs(model)

    def round_() -> None:
        ik.features(copy.deepcopy(model), inputs=batch)
        refused(lambda: ik.features(model, at="layer9", inputs=batch), PlaceError)

    nothing_stays(model, round_, 6)


MORTAL: dict[str, Callable[[Any], Any]] = {
    **VERBS,
    "remove": lambda model: ik.remove(model, "layers.1", inputs=X),
    "insert": lambda model: ik.insert(model, "layers", after=[1], inputs=X),
    "duplicate": lambda model: ik.duplicate(model, "layers", [1], inputs=X),
    "prune": lambda model: ik.prune(model, [X, X[:2]], metrics="kl", drop=1, progress=False),
    "simplify": lambda model: ik.simplify(model, X),
}


@pytest.mark.filterwarnings('ignore:"layers" grew from 4 to 5 layers:identikit.errors.IdentikitWarning')
@pytest.mark.parametrize("verb", MORTAL)
def test_a_model_that_nobody_holds_is_gone(verb: str) -> None:
    """No registry keeps it, nor any of its layers and weights."""
    model = net()
    given = MORTAL[verb](model)
    held = [weakref.ref(each) for each in (*model.modules(), *model.parameters())]
    if given is model or verb == "prune":
        del given
        result = None
    else:
        result = given  # what a verb found holds no model
    del model
    gc.collect()
    assert [each() for each in held if each() is not None] == []
    del result


def test_a_handle_that_was_undone_holds_its_plan_and_no_pass() -> None:
    model = net()
    handle = ik.bypass(model, "layers.1", inputs=X)
    output = weakref.ref(handle.output)
    handle.undo()
    gc.collect()
    assert output() is None


KEPT: list[Any] = []


@pytest.mark.parametrize("leak", ["object", "tensor", "hook", "global hook", "forward", "mode"])
def test_these_tests_can_fail(leak: str) -> None:
    model = net()
    undo: list[Any] = []

    def round_() -> None:
        if leak == "object":
            KEPT.append({"a": {}})
        elif leak == "tensor":
            KEPT.append(torch.zeros(10))
        elif leak == "hook" and not undo:
            undo.append(model.head.register_forward_hook(lambda *_: None).remove)
        elif leak == "global hook" and not undo:
            undo.append(nn.modules.module.register_module_forward_hook(lambda *_: None).remove)
        elif leak == "forward" and not undo:
            model.head.forward = model.head.forward
            undo.append(lambda: vars(model.head).pop("forward"))
        elif leak == "mode" and not undo:
            torch._C._set_grad_enabled(False)
            undo.append(lambda: torch._C._set_grad_enabled(True))

    try:
        with pytest.raises(AssertionError):
            nothing_stays(model, round_)
    finally:
        KEPT.clear()
        for each in undo:
            each()
