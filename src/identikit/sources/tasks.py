"""From a task to the class that loads it, from an architecture to its task: as transformers itself has them."""

from __future__ import annotations

from typing import Any

from identikit.errors import ModelError, did_you_mean
from identikit.sources.opened import EMBEDDING, TEXT_TO_TEXT


def check_task(task: str) -> None:
    """Raise ModelError for a task that nobody knows."""
    known = [*_pipelines(), *_aliases(), "embedding", *TEXT_TO_TEXT]
    if task not in known:
        raise ModelError(
            f'unknown task "{task}".{did_you_mean(task, known)} '
            'Tasks are those of transformers.pipeline, such as text-classification, and "embedding".'
        )


def class_for(config: Any, task: str | None) -> Any:
    """The class to load: what `task` says, else what the checkpoint was saved as, else the bare model."""
    import transformers

    if task is None:
        name = saved_as(config)
        return getattr(transformers, name, None) or _own_class(config, name) if name else transformers.AutoModel
    for auto in _loaders(task):
        if type(config) in auto._model_mapping or _brings(config, auto.__name__):
            return auto
    raise ModelError(
        f'no model for task "{task}" from a {type(config).__name__.removesuffix("Config")} checkpoint. '
        f"It was saved as {saved_as(config) or 'a bare model'}; leave --task out to load that."
    )


def task_of(config: Any) -> str | None:
    """The task that the checkpoint's own architecture serves; None where no pipeline does."""
    name = saved_as(config)
    for task in (*_pipelines(), TEXT_TO_TEXT[0]):
        for auto in _loaders(task):
            # Every bare model serves the tasks of AutoModel, so those come last.
            if (
                auto.__name__ != "AutoModel"
                and type(config) in auto._model_mapping
                and name in _names(auto._model_mapping[type(config)])
            ):
                return str(task)
    return "feature-extraction"


def saved_as(config: Any) -> str | None:
    """The class that the checkpoint was saved as, by its config."""
    architectures = getattr(config, "architectures", None) or []
    return str(architectures[0]) if architectures else None


def _own_class(config: Any, name: str) -> Any:
    """The Auto class under which a checkpoint brings the code of `name` along."""
    import transformers

    brought = getattr(config, "auto_map", None) or {}
    for auto, reference in brought.items():
        if str(reference).rpartition(".")[2] == name and hasattr(transformers, auto):
            return getattr(transformers, auto)
    raise ModelError(
        f"transformers {transformers.__version__} has no class {name}, which this checkpoint was saved as. "
        "Say what to load it for (--task), or install the version that has it."
    )


def _brings(config: Any, auto: str) -> bool:
    """Whether the checkpoint brings code for this Auto class."""
    return auto in (getattr(config, "auto_map", None) or {})


def _loaders(task: str) -> list[Any]:
    """The Auto classes of a task."""
    import transformers

    task = _aliases().get(task, task)
    if task in EMBEDDING:
        return [transformers.AutoModel]
    if task in _pipelines():
        return list(_pipelines()[task]["pt"])
    return [transformers.AutoModelForSeq2SeqLM]


def _names(classes: Any) -> list[str]:
    """The names in an entry of a mapping, which holds one class or several."""
    return [each.__name__ for each in (classes if isinstance(classes, (tuple, list)) else (classes,))]


def _pipelines() -> dict[str, Any]:
    """transformers' table of tasks."""
    from transformers.pipelines import PIPELINE_REGISTRY

    return dict(PIPELINE_REGISTRY.supported_tasks)


def _aliases() -> dict[str, str]:
    """Other names of tasks."""
    from transformers.pipelines import PIPELINE_REGISTRY

    return dict(PIPELINE_REGISTRY.task_aliases)
