"""Which layers may be called one by one: runs of them that hand on one stream, and why a run ends."""

from __future__ import annotations

import pytest
import torch

from identikit.batches import Batch
from identikit.families.anatomy import anatomy_of
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.links import Segment, segments
from identikit.replaying.passes import Passes
from identikit.replaying.recording import Recorder
from identikit.replaying.ways import ways_to
from replaying import odd, odd_batches, odd_ways

LAYERS = [f"layers.{number}" for number in range(odd.DEPTH)]


def found(kind: type[odd.Net], layers: list[str] = LAYERS) -> list[Segment]:
    two = Batch((torch.randn(2, odd.TOKENS, odd.WIDTH),), examples=2)
    anatomy = anatomy_of(odd.built(kind), two)
    passes = Passes(anatomy, 0, layers)
    recorder = Recorder(ways_to(anatomy, layers), layers, layers)
    with passes.session():
        recordings = [recorder.record(passes.runner(batch, 0)) for batch in (two.head(1), two)]
    return segments(anatomy.watched, *recordings, layers)


def names(segment: Segment) -> list[str]:
    return [link.path for link in segment.links]


def test_a_stack_is_one_segment() -> None:
    (segment,) = found(odd.Net)
    assert names(segment) == LAYERS
    assert [dict(link.dims) for link in segment.links] == [{(0, 0): 0}] * odd.DEPTH
    assert [dict(link.outs) for link in segment.links] == [{(): 0}] * odd.DEPTH
    assert [dict(link.carried) for link in segment.links] == [{}] + [{(0, 0): ()}] * (odd.DEPTH - 1)
    assert segment.position("layers.3") == segment.position("layers.3.up") == 3
    assert segment.position("layers") is segment.position("stem") is None


def test_the_batch_where_it_lies() -> None:
    assert {dim for link in found(odd_batches.TimeFirst)[0].links for dim in link.dims.values()} == {1}


def test_two_streams_are_both_carried() -> None:
    (segment,) = found(odd_ways.TwoStreams)
    assert all(dict(link.carried) == {(0, 0, 0): (0,), (0, 0, 1): (1,)} for link in segment.links[1:])


@pytest.mark.parametrize(
    ("kind", "runs"),
    [
        (odd_ways.LateSkip, [LAYERS[1:]]),
        (odd_ways.Shared, [["layers.2", "layers.3", "layers.4"]]),
    ],
)
def test_a_segment_ends_where_a_stream_is_read_again(kind: type[odd.Net], runs: list[list[str]]) -> None:
    assert [names(segment) for segment in found(kind)] == runs


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (odd_ways.HandsOutAll, 'what "layers.3" returns is read again later, past "layers.4"'),
        (odd_ways.LongSkip, '"layers.4" does not take what "layers.3" returns'),
        (odd_ways.Dense, '"layers.4" does not take what "layers.3" returns'),
        (odd_batches.NumbersAlong, 'the arguments of "layers.4" hold a value that changes with the number of examples'),
    ],
)
def test_why_there_is_none(kind: type[odd.Net], why: str) -> None:
    with pytest.raises(NotReplayableError) as caught:
        found(kind)
    assert str(caught.value) == why


def test_layers_that_do_not_follow_each_other() -> None:
    with pytest.raises(NotReplayableError, match=r'^"layers\.2" does not take what "layers\.0" returns$'):
        found(odd.Net, ["layers.0", "layers.2"])
