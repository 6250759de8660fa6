"""Fuzz for a bounded time: `python -m fuzz --seconds 60 [TARGET ...]` with `tests` on the path; needs atheris.

Each target runs in a process of its own, which libFuzzer ends. What it learns stays in build/fuzz/TARGET, what breaks
a reader is written to build/fuzz/TARGET-broken-*: mend the reader, and add the file to tests/fuzz/findings/TARGET.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUILT = Path(__file__).parents[2] / "build" / "fuzz"
ONE = 10  # seconds for one input: more is a hang
MEMORY = 2_048  # megabytes
LONGEST = 20_000  # bytes of an input


def main() -> int:
    """Run every target for its share of the time; 1 where one was broken."""
    ask = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    ask.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    ask.add_argument("--runs", type=int, default=-1, help="stop each target after so many inputs, the same in each run")
    ask.add_argument("--to", type=Path, default=BUILT)
    ask.add_argument("--within", help=argparse.SUPPRESS)  # the process of one target
    ask.add_argument("targets", nargs="*")
    asked, flags = ask.parse_known_args()
    if asked.within:
        return fuzz(asked.within, [*flags, *asked.targets])
    from fuzz.targets import TARGETS

    names = asked.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        ask.error(f"no target is called {unknown.pop()}; there are {', '.join(TARGETS)}")
    share = max(1, round(asked.seconds / len(names)))
    broken = [name for name in names if run(name, share, asked.runs, asked.to)]
    outcome = f"BROKEN: {', '.join(broken)}" if broken else "all sound"
    print(f"{len(names)} targets, at most {share} s each: {outcome}")
    return 1 if broken else 0


def run(name: str, seconds: int, runs: int, to: Path) -> int:
    """The exit status of the process that fuzzes one target."""
    from fuzz.seeds import dictionary, findings, seeds

    corpus = to / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate([*seeds()[name], *(path.read_bytes() for path in findings().get(name, []))]):
        (corpus / f"seed-{number}").write_bytes(content)
    words = to / "words.dict"
    words.write_text(dictionary())
    limits = [f"-max_total_time={seconds}", f"-timeout={ONE}", f"-rss_limit_mb={MEMORY}", f"-max_len={LONGEST}"]
    limits += [f"-runs={runs}", "-seed=1"] if runs > 0 else []
    flags = [*limits, f"-dict={words}", f"-artifact_prefix={to / name}-broken-", "-verbosity=0", "-print_final_stats=1"]
    command = [sys.executable, "-m", "fuzz", "--within", name, *flags, str(corpus)]
    memory = Path("/dev/shm")  # for tens of thousands of files a minute; the process is ended and tidies up nothing
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        same = {**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": scratch}  # sets in one order
        return subprocess.run(command, env=same, check=False).returncode


def fuzz(name: str, flags: list[str]) -> int:
    """Hand this process to libFuzzer, which ends it."""
    import atheris

    with atheris.instrument_imports(include=["identikit"], enable_loader_override=False):
        from fuzz.targets import TARGETS

        if name in ("plan", "part"):  # they bring torch when first called: not while the clock runs
            importlib.import_module("identikit.scanning.part")
    from fuzz.mutate import mutated

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        changed = mutated(content, seed) if seed % 2 else None
        if changed is None or len(changed) > most:
            return bytes(atheris.Mutate(content, most))
        return changed

    atheris.Setup([sys.argv[0], *flags], TARGETS[name], custom_mutator=mutate)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
