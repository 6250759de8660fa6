"""A residual network for a table: beside boosted trees and a linear model, then without the blocks that it can spare.

    python examples/tabular_resnet.py [--blocks 6] [--to FOLDER] [--quick]

The table comes with scikit-learn: 1,797 written digits, 64 columns of grey values, ten classes. Nothing to bring.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from identikit.tabular import ResNetClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=6, help="residual blocks to begin with")
    parser.add_argument("--to", type=Path, default=Path("digits"), help="the folder for the fitted network")
    parser.add_argument("--quick", action="store_true", help="few epochs, trees and folds")
    options = parser.parse_args()
    X, y = load_digits(return_X_y=True, as_frame=True)  # noqa: N806  # scikit-learn's name for a table

    # An estimator like any other: no scaling is needed in front of it, and it goes wherever scikit-learn takes one.
    epochs = 15 if options.quick else 200
    network = ResNetClassifier(blocks=options.blocks, max_epochs=epochs, random_state=0)
    models = {
        "residual network": make_pipeline(VarianceThreshold(), network),
        "boosted trees": HistGradientBoostingClassifier(max_iter=10 if options.quick else 100, random_state=0),
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }
    folds = StratifiedKFold(2 if options.quick else 5, shuffle=True, random_state=0)
    print(f"1. Accuracy, {folds.n_splits} folds\n")
    for name, model in models.items():
        scores = cross_val_score(model, X, y, cv=folds)
        print(f"   {name:18}{scores.mean():.3f} ± {scores.std():.3f}")

    # Three parts: to learn from, to choose blocks by, and to judge by what nothing was learned or chosen on.
    X_train, X_rest, y_train, y_rest = train_test_split(X, y, test_size=0.6, stratify=y, random_state=0)  # noqa: N806
    X_choose, X_test, y_choose, y_test = train_test_split(  # noqa: N806
        X_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
    )
    network.fit(X_train, y_train)
    print(f"\n2. What each block is worth, on {len(y_choose)} rows that were not trained on\n")
    report = network.layer_report(X_choose, y_choose, progress=False)
    for row in report.rows:  # print(report) says more: what each costs, and which are not told apart
        print(f"   without {row.places[0]}: {row.effect:+.3f}, surely {row.low:+.3f} to {row.high:+.3f}")

    smaller = copy.deepcopy(network).prune(X_choose, y_choose, keep=0.97, progress=False)
    print("\n3. The blocks that these rows do not miss dropped, judged on the rows that are left\n")
    for name, model in {"before": network, "after": smaller}.items():
        blocks, weights = len(model.network_.blocks), sum(value.numel() for value in model.network_.parameters())
        print(f"   {name:8}{blocks} blocks, {weights:9,} weights: {model.score(X_test, y_test):.3f}")
    print("", *smaller.front_.why, sep="\n   ")

    folder = smaller.save(options.to, overwrite=True)
    again = ResNetClassifier.load(folder)
    same = np.array_equal(again.predict_proba(X_test), smaller.predict_proba(X_test))
    print(f"\n4. {folder}, loaded without pickle: the same probabilities to the bit: {same}")


if __name__ == "__main__":
    main()
