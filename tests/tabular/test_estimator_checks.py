"""scikit-learn's own checks of estimators: all of them, none expected to fail, none skipped by us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from identikit.tabular import ResNetClassifier, ResNetRegressor

SMALL = {"blocks": 2, "width": 16, "max_epochs": 20}


@parametrize_with_checks([ResNetClassifier(**SMALL), ResNetRegressor(**SMALL)])
def test_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_the_checks_that_scikit_learn_leaves_out_by_itself() -> None:
    """Those of array libraries run only where a variable is set before scipy is loaded."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "array_api", __file__]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert "skipped" not in done.stdout
