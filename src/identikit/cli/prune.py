"""`identikit prune`: the main job: scan, drop layers for a target, save a smaller checkpoint that is proved."""

from __future__ import annotations

from identikit.cli import goals as g
from identikit.cli import measuring as m
from identikit.cli import options as o
from identikit.cli.console import speaks
from identikit.cli.opening import Asked, asking
from identikit.cli.scan import said
from identikit.errors import SaveError

EXAMPLE = "Example:  identikit prune ./my-bert --data pairs.csv --keep 0.98 --to smaller"


@asking
def command(
    model: o.Model,
    asked: Asked,
    to: o.Folder,
    data: o.DataFile = None,
    keep: g.Keep = None, max_drop: g.MaxDrop = None, drop: g.Drop = None, params: g.Params = None,
    flops: g.Flops = None, speedup: g.Speedup = None, memory: g.Memory = None, saved_as: o.Format = "checkpoint",
    method: g.Way = "greedy", beam: g.Beam = 4, compensate: g.Compensate = None,
    metric: m.Metrics = None, at: m.At = None, as_: m.As = None,
    resume: o.Resume = False, overwrite: o.Overwrite = False, score: m.Score = None, confidence: g.Bars = 0.95,
    engine: m.Engine = "auto", batch_memory: m.BatchMemory = None, ray: m.Ray = None, workers: m.Workers = None,
    device_map: o.DeviceMap = None, holdout: o.HoldOut = 0.25, as_json: o.Json = False,
) -> None:  # fmt: skip
    """Drop the layers your data miss least; save what is left as a checkpoint of its own library, proved."""
    from identikit.cli.job import prune_and_save, show_pruned
    from identikit.saving.folder import check_place

    check_place(to, overwrite)
    if compensate == "adapter" and saved_as == "checkpoint":
        raise SaveError("--compensate adapter needs --format plan: no library's checkpoint has layers for adapters.")
    opened = asked.model(model, device_map)
    read = asked.data(data, opened)
    pruned, files = prune_and_save(
        opened, read, to, saved_as, page=to.with_name(to.name + ".report.html"), resume=resume, overwrite=overwrite,
        keep=keep, max_drop=max_drop, drop=drop, params=params, flops=flops, speedup=speedup, memory=memory,
        holdout=holdout, method=method, beam=beam, compensate=compensate, at=at, metrics=metric or "fidelity", as_=as_,
        score=score, seed=asked.seed, confidence=confidence, engine=engine, batch_memory=batch_memory, ray=ray,
        workers=workers, name=model, command=said(),
    )  # fmt: skip
    if speaks():
        show_pruned(pruned, files, as_json=as_json)
