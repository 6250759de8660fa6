"""Threads: two verbs at once do not disturb each other, and one model is not edited by two threads unawares."""

from __future__ import annotations

import copy
import os
import pickle
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import identikit as ik
import small_net
import tiny
from identikit.errors import PlanError
from laws.snapshot import Snapshot

QUIET: dict[str, Any] = {"progress": False, "costs": False}


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    """Threads change places fifty times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """What each job gives, or the error that it raised; all begin together."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait(timeout=60)
        try:
            return job()
        except Exception as error:  # compared by the caller
            return error

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs, timeout=120))


def facts(result: ik.ScanResult) -> list[Any]:
    return [{**row.to_json(), "seconds": 0} for row in result]


class Noisy(nn.Module):
    """Draws random numbers in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(small_net.Block() for _ in range(3))
        self.head = nn.Linear(small_net.WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + 0.1 * torch.randn_like(x) + random.random() + np.random.rand()
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def noisy() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Noisy().eval()


def settings() -> Any:
    """What belongs to the whole process, and a verb changes while it runs."""
    from transformers.utils import logging

    return (
        torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist(),
        torch._dynamo.eval_frame._stance.stance, torch.backends.mha.get_fastpath_enabled(), torch.get_default_dtype(),
        torch.get_num_threads(), list(warnings.filters), warnings.showwarning, logging.get_verbosity(),
        torch.is_grad_enabled(), dict(os.environ),
    )  # fmt: skip


def test_scans_of_several_models() -> None:
    """The rows of scans at once are those of scans one after the other, and nothing of the process is changed."""
    data = [inputs for inputs, _ in small_net.batches()]
    kinds = [(small_net.made, "loop"), (noisy, "loop"), (small_net.made, "suffix"), (noisy, "suffix")]
    ik.sites(tiny.model("classifier"))  # libraries set up what they set up once
    alone = [facts(ik.scan(make(), data, engine=engine, **QUIET)) for make, engine in kinds]
    models = [make() for make, _ in kinds]  # a model is drawn from the process's random numbers
    before = settings()
    jobs = [
        lambda model=model, engine=engine: facts(ik.scan(model, data, engine=engine, **QUIET))
        for model, (_, engine) in zip(models, kinds, strict=True)
    ]
    assert at_once(*jobs) == alone
    assert settings() == before


def test_different_verbs_on_different_models(tmp_path: Path) -> None:
    data = [inputs for inputs, _ in small_net.batches()]

    def weights(model: nn.Module) -> Any:
        return {name: value.tolist() for name, value in model.state_dict().items()}

    def jobs(place: Path) -> list[Callable[[], Any]]:
        teacher, simple, whole = small_net.made(), small_net.made(), small_net.made()
        student = ik.remove(small_net.made(), "layers.1", inputs=data[0])
        bert, llama = tiny.model("classifier", layers=2), tiny.model("causal", layers=2)
        return [
            lambda: weights(ik.heal(student, teacher, data, steps=2, progress=False)),
            lambda: ik.prune(whole, data, drop=1, progress=False).plan.places,
            lambda: weights(ik.load(ik.save(bert, place))),
            lambda: [each.path for each in ik.sites(llama)],
            lambda: weights(ik.simplify(simple, data[0])),
        ]

    alone = [job() for job in jobs(tmp_path / "alone")]
    together = jobs(tmp_path / "together")
    before = settings()
    assert at_once(*together) == alone
    assert settings() == before


def test_one_model_scanned_twice_at_once() -> None:
    model, data = small_net.made(), small_net.batches()
    snapshot, alone = Snapshot(model), facts(ik.scan(model, data, **QUIET))
    assert at_once(*3 * [lambda: facts(ik.scan(model, data, **QUIET))]) == 3 * [alone]
    assert snapshot.changes(model) == []


def test_one_model_looked_at_and_scanned_at_once() -> None:
    model, data = small_net.made(), small_net.batches()
    example = data[0][0]
    snapshot, whole = Snapshot(model), ik.remove(small_net.made(), "layers.2", inputs=example)(example)
    alone, own = facts(ik.scan(model, data, **QUIET)), copy.deepcopy(model)
    found = at_once(
        lambda: [each.path for each in ik.sites(model, example)],
        lambda: facts(ik.scan(model, data, **QUIET)),
        lambda: len(ik.audit(model, example)),
        lambda: torch.equal(ik.remove(own, "layers.2", inputs=example)(example), whole),
    )
    assert found == [[each.path for each in ik.sites(model, example)], alone, len(ik.audit(model, example)), True]
    assert snapshot.changes(model) == []


@contextmanager
def elsewhere(model: nn.Module, *places: str, **how: Any) -> Iterator[threading.Thread]:
    """The layers bypassed by another thread for the time of the block."""
    begun, done = threading.Event(), threading.Event()

    def bypassing() -> None:
        with ik.bypass(model, *places, **how):
            begun.set()
            done.wait(timeout=60)

    thread = threading.Thread(target=bypassing, name="the other one")
    thread.start()
    assert begun.wait(timeout=60)
    try:
        yield thread
    finally:
        done.set()
        thread.join()


def test_a_layer_bypassed_by_another_thread_is_refused(tmp_path: Path) -> None:
    """Whoever else edits, looks at, measures or saves the model, or one around or inside it, is told so."""
    model, example = small_net.made(), small_net.batches()[0][0]
    around = nn.Sequential(model)
    verbs: list[Callable[[], Any]] = [
        lambda: ik.bypass(model, "layers.2", inputs=example),
        lambda: ik.only(model, "layers.2", inputs=example),
        lambda: ik.sites(model, example),
        lambda: ik.audit(model, example),
        lambda: ik.bypass(around, "0.layers.2", inputs=example),
        lambda: ik.export(model, tmp_path / "a.pt2", example),
        lambda: ik.save(model, tmp_path / "x", format="plan", inputs=example),
    ]
    before = copy.deepcopy(model)
    with elsewhere(model, "layers.1", inputs=example):
        for verb in verbs:
            with pytest.raises(PlanError) as refused:
                verb()
            assert str(refused.value).endswith(
                'layers.1" is bypassed by another thread (the other one). Undo that first, or give each thread a model '
                "of its own, copied before."
            )
        with pytest.raises(PlanError, match="an edit is still applied"):  # by whomever
            ik.scan(model, small_net.batches(), **QUIET)
        assert list(tmp_path.iterdir()) == []
        ik.bypass(before, "layers.2", inputs=example).undo()  # the way out that the message names
        ik.bypass(copy.deepcopy(model), "layers.2", inputs=example).undo()  # a copy belongs to nobody
        ik.bypass(pickle.loads(pickle.dumps(model)), "layers.2", inputs=example).undo()
    with ik.bypass(model, "layers.2", inputs=example), ik.bypass(model, "layers.1", inputs=example):
        assert ik.sites(model, example)  # a thread's own handles stop it in nothing


def test_a_handle_outlives_its_thread() -> None:
    """Made in a thread that has ended, it is like any other, and is undone from here."""
    model, example = small_net.made(), small_net.batches()[0][0]
    snapshot = Snapshot(model)
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(ik.bypass(model, "layers.1", inputs=example)))
    thread.start()
    thread.join()
    ik.bypass(model, "layers.2", inputs=example).undo()
    made[0].undo()
    assert snapshot.changes(model) == []


def test_many_bypasses_at_once() -> None:
    """Each either sees its own layer gone and no other, or is refused; the model is as it was."""
    model, example = small_net.made(), small_net.batches()[0][0]
    snapshot = Snapshot(model)
    expected = {}
    for number in range(4):
        with ik.bypass(model, f"layers.{number}", inputs=example):
            expected[number] = model(example)

    def bypassed(number: int) -> str:
        with ik.bypass(model, f"layers.{number}", inputs=example):
            return "right" if torch.equal(model(example), expected[number]) else "wrong"

    for _ in range(5):
        found = at_once(*(lambda number=number: bypassed(number) for number in range(4)))
        assert all(each == "right" or isinstance(each, PlanError) for each in found), found
        assert "right" in found
    assert snapshot.changes(model) == []


def test_an_error_gives_the_turn_on() -> None:
    """A verb that fails, or is interrupted, stops nobody."""
    model, example = small_net.made(), small_net.batches()[0][0]

    def interrupted(model: Any) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ik.scan(model, score=interrupted, inputs=example, **QUIET)
    with pytest.raises(ik.IdentikitError):
        ik.bypass(model, "no.layer", inputs=example)
    assert at_once(lambda: len(ik.sites(model, example))) == [len(ik.sites(model, example))]


def test_a_verb_within_a_verb() -> None:
    """A score that calls a verb itself waits for nobody."""
    model, data = small_net.made(), small_net.batches()

    def score(model: Any) -> float:
        return float(len(ik.sites(copy.deepcopy(model), data[0][0])))

    assert len(ik.scan(model, score=score, inputs=data[0][0], **QUIET)) == 4


def test_a_forked_process_has_a_turn_of_its_own() -> None:
    """Forked while another thread is inside a verb: nobody there would ever let go of its turn."""
    from identikit.turns import in_turn, turn

    inside, done = threading.Event(), threading.Event()

    def works() -> None:
        with turn():
            inside.set()
            done.wait(timeout=60)

    thread = threading.Thread(target=works)
    thread.start()
    assert inside.wait(timeout=60)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 warns of forks beside threads: here it is meant
        child = os.fork()
    if child == 0:
        os._exit(in_turn(lambda: 7)())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    done.set()
    thread.join()


def test_estimators_fitted_at_once() -> None:
    """Dropout is drawn from the seed of each fit, whoever fits beside it."""
    pytest.importorskip("sklearn")
    from identikit.tabular import ResNetRegressor

    draw = np.random.default_rng(0)
    table, target = draw.normal(size=(60, 3)), draw.normal(size=60)

    def fitted(seed: int) -> Any:
        how: dict[str, Any] = {"blocks": 1, "width": 8, "max_epochs": 3, "dropout": 0.3, "random_state": seed}
        return ResNetRegressor(**how).fit(table, target).predict(table).tolist()

    alone = [fitted(seed) for seed in range(3)]
    assert at_once(*(lambda seed=seed: fitted(seed) for seed in range(3))) == alone
