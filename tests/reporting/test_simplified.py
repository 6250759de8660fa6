"""The table of a simplifying, on results made by hand."""

from __future__ import annotations

from identikit.results.simplified import Left, Rewritten, Simplified, Size

FOUND = Simplified(
    model="Net",
    rewrites=(
        Rewritten("strip", "drop", "", "an nn.Identity stands in its place"),
        *(Rewritten("fold", f"layer{number}.norm", f"layer{number}.conv", "folded") for number in range(8)),
    ),
    left=(Left("one", '"conv" is called 2 times'), Left("two", '"conv" is called 2 times')),
    before=Size(1_200_000, 30, 0.012),
    after=Size(1_100_000, 20, 0.009),
    same_state=False,
    float64=2e-16,
    own=3e-7,
    proved_on=("2x3x8x8", "3x3x8x8"),
)

SHOWN = """\
Net
             before    after
parameters   1.20 M   1.10 M   -8.3 %
modules          30       20  -33.3 %
latency     12.0 ms  9.00 ms  -25.0 %

changed nothing: stripped                  1  drop
norms and scales: folded into a neighbour  8  layer0.norm, layer1.norm, layer2.norm, layer3.norm,
                                              layer4.norm, layer5.norm, and 2 more
1 of those stripped is called by name: an nn.Identity stands there.
left: one, two ("conv" is called 2 times)

outputs differ by 2e-16 in float64, 3e-07 in the model's own dtype; compared on 2x3x8x8; 3x3x8x8
"""


def test_the_table() -> None:
    assert "\n".join(line.rstrip() for line in repr(FOUND).splitlines()) + "\n" == SHOWN


def test_nothing_was_timed_and_nothing_done() -> None:
    size = Size(10, 2, None)
    shown = repr(Simplified("Net", (), (), size, size, True, None, 0.0, ("1x3",)))
    assert "latency" not in shown
    assert "nothing to simplify" in shown
    assert shown.rstrip().endswith("outputs differ by 0 in the model's own dtype; compared on 1x3")
