"""A user's function, named as `file.py:function`: read the file, hand the function out, say what is wrong."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from identikit.errors import IdentikitError, did_you_mean

_USERS = "identikit_user_"  # how the modules of users' files are called


def names_function(spec: str) -> bool:
    """Whether `spec` reads as a Python file or `file.py:function`, not as a folder or another file."""
    return _split(spec)[0].endswith(".py")


def load_function(spec: str, *, error: type[IdentikitError] = IdentikitError) -> Callable[..., Any]:
    """The callable that `spec`, "file.py:function", names. The file runs once for each version of it on disk.

    While the file runs, its own folder is first on `sys.path`, as under `python file.py`.
    Raises `error` where the file or the function is absent; where the file fails, the user's error is its `__cause__`.
    """
    file, name = _split(spec)
    path = Path(file)
    if not file.endswith(".py"):
        raise error(f'"{spec}" names no function. Write file.py:function.')
    if not path.is_file():
        beside = [item.name for item in path.parent.glob("*.py")] if path.parent.is_dir() else []
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise error(f'no file "{file}"{where}.{did_you_mean(path.name, beside)}')
    module = _module(path.resolve(), file, error)
    own = [key for key, value in vars(module).items() if callable(value) and _is_own(key, value, module)]
    if not name:
        raise error(f'"{file}" is a file; say which function: {file}:{own[0] if own else "NAME"}.')
    found = getattr(module, name, None)
    if found is None:
        listed = f" It has: {', '.join(own)}." if own else " It has none."
        raise error(f'no function "{name}" in {file}.{did_you_mean(name, own)}{listed}')
    if not callable(found):
        raise error(
            f'"{name}" in {file} is {_a(type(found).__name__)}, not a function. Write: def {name}(): return ...'
        )
    function: Callable[..., Any] = found
    return function


def call_function(spec: str, offers: Mapping[str, Any], *, error: type[IdentikitError] = IdentikitError) -> Any:
    """Call the function that `spec` names with those of `offers` that it names as parameters.

    Raises `error` where it needs what is not offered, or fails (its own error is the `__cause__`).
    """
    function = load_function(spec, error=error)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()  # a class of a C library shows none: call it bare
    given = {item.name: offers[item.name] for item in parameters if item.name in offers}
    lacking = [item.name for item in parameters if _is_needed(item) and item.name not in given]
    if lacking:
        raise error(
            f'"{spec}" needs the argument "{lacking[0]}", which is not on offer '
            f"(on offer: {', '.join(sorted(offers)) or 'nothing'}). Give it a default."
        )
    try:
        return function(**given)
    except IdentikitError:
        raise
    except Exception as failure:
        raise error(f'"{spec}" failed: {_said(failure)}') from failure


def is_users(module: object) -> bool:
    """Whether `module` was made of a user's file here; no other process can import it by its name."""
    return str(getattr(module, "__name__", "")).startswith(_USERS)


def _split(spec: str) -> tuple[str, str]:
    """The file and the function; a drive letter (C:) is no function."""
    file, colon, name = spec.rpartition(":")
    return (file, name) if colon and name.isidentifier() and len(file) > 1 else (spec.rstrip(":"), "")


def _module(path: Path, shown: str, error: type[IdentikitError]) -> ModuleType:
    """The module of `path`, run if this version of the file was not run before."""
    status = path.stat()
    version = f"{path}:{status.st_mtime_ns}:{status.st_size}"
    name = f"{_USERS}{path.stem}_{hashlib.sha256(version.encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise error(f'"{shown}" cannot be read as Python.')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    try:
        with _first_on_path(str(path.parent)):
            spec.loader.exec_module(module)
    except Exception as failure:
        del sys.modules[name]
        raise error(f'"{shown}" failed while it was read: {_said(failure)}') from failure
    return module


@contextmanager
def _first_on_path(folder: str) -> Iterator[None]:
    """`folder` at the head of `sys.path`, for the time of the block."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _is_own(name: str, value: Any, module: ModuleType) -> bool:
    """Whether the file defines `value` itself, under a public name."""
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


def _is_needed(parameter: inspect.Parameter) -> bool:
    """Whether a call must give this parameter."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in several


def _said(failure: Exception) -> str:
    """The user's error on one line: its class, its first line, where it was raised."""
    lines = str(failure).strip().splitlines()
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})" if trace is not None else ""
    return f"{type(failure).__name__}{': ' + lines[0] if lines else ''}{where}"


def _a(word: str) -> str:
    """`word` with its article."""
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"
