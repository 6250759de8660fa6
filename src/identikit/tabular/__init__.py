"""Tables: a residual network with the interface of scikit-learn. `from identikit.tabular import ResNetClassifier`."""

from importlib.util import find_spec

from identikit.errors import needs_extra

if find_spec("sklearn") is None:
    raise needs_extra("scikit-learn", "tabular", "identikit.tabular")

from identikit.tabular.classifier import ResNetClassifier
from identikit.tabular.regressor import ResNetRegressor

__all__ = ["ResNetClassifier", "ResNetRegressor"]
