"""Writes cleanlab.json.gz: 50 random columns of noisy labels and what cleanlab
says of them. Run it with cleanlab 2.9.0 beside this file:

    python cleanlab.py | gzip -9n > cleanlab.json.gz
"""
import json
import sys
import warnings

sys.path.pop(0)  # this file has the library's name

import cleanlab
import numpy as np
import sklearn
from cleanlab import count, filter
from cleanlab.rank import get_normalized_margin_for_each_label

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20261122)
cases = []
for _ in range(50):
    k, n = int(rng.integers(2, 6)), int(rng.integers(40, 180))
    true = rng.choice(k, size=n, p=rng.dirichlet(np.full(k, 3.0)))
    noise = np.eye(k) * (1 - 0.25 * rng.random()) + rng.random((k, k)) * 0.2
    noise /= noise.sum(1, keepdims=True)
    given = np.array([rng.choice(k, p=noise[t]) for t in true])
    given[:k] = np.arange(k)  # every class occurs
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += 0.5 + 3 * rng.random()
    p = np.exp(logits)
    p = np.round(p / p.sum(1, keepdims=True), 6)
    p[:, 0] = np.round(p[:, 0] + 1 - p.sum(1), 6)
    case = {
        "given": given.tolist(),
        "p": [[int(round(x * 1e6)) for x in row] for row in p],  # millionths
        "thresholds": count.get_confident_thresholds(given, p).tolist(),
        "confident": count.compute_confident_joint(given, p, calibrate=False).tolist(),
        "counts": count.compute_confident_joint(given, p, calibrate=True).tolist(),
        "margin": [round(float(x), 8) for x in get_normalized_margin_for_each_label(given, p)],
    }
    for name, how in (("class", "prune_by_class"), ("noise-rate", "prune_by_noise_rate"), ("both", "both")):
        case[name] = np.where(filter.find_label_issues(given, p, filter_by=how, n_jobs=1))[0].tolist()
    cases.append(case)
versions = {"cleanlab": cleanlab.__version__, "numpy": np.__version__, "scikit-learn": sklearn.__version__}
json.dump({"versions": versions, "cases": cases}, sys.stdout, separators=(",", ":"))
