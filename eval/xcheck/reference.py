"""Reference figures for the evaluation harness.

Reads {"family": [case, ...], ...} as JSON on stdin, and prints
{"versions": {library: version}, "figures": {"family": [{figure: value}, ...]}}.
A figure that does not exist is null. The figures come from scikit-learn, scipy,
statsmodels, krippendorff and pytrec_eval; what no library has (NMD, RSNOD, ECE,
the budget recall, Connor's power) is written here with numpy from its definition.

Needs python3-sklearn, python3-scipy and python3-statsmodels of Debian, and from
PyPI krippendorff and pytrec_eval (or pytrec_eval-terrier, which has wheels).
"""

import gc
import json
import math
import sys
import warnings

missing = []
try:
    import numpy as np
    import scipy
    from scipy import optimize, stats
except ImportError:
    missing.append("scipy")
try:
    import sklearn
    from sklearn import metrics as sk
    from sklearn.preprocessing import MultiLabelBinarizer
except ImportError:
    missing.append("sklearn")
try:
    import statsmodels
    from statsmodels.stats import contingency_tables, inter_rater, multitest, power, proportion
except ImportError:
    missing.append("statsmodels")
try:
    import krippendorff
except ImportError:
    missing.append("krippendorff")
try:
    import pytrec_eval
except ImportError:
    missing.append("pytrec_eval")
if missing:
    json.dump({"missing": missing}, sys.stdout)
    sys.exit(0)

warnings.filterwarnings("ignore")


def repeated(case, *columns):
    """The columns with row i as often as its weight says."""
    weights = case.get("weights") or [1] * len(case[columns[0]])
    rows = np.repeat(np.arange(len(weights)), weights)
    return [[case[c][i] for i in rows] for c in columns]


def ratio(a, b):
    return a / b if b else None


def classes(case):
    gold, pred = repeated(case, "gold", "pred")
    if not gold:
        return {k: None for k in ["accuracy", "macro_f1", "micro_f1", "weighted_f1", "balanced", "mcc", "kappa", "precision", "recall", "f1"]}
    one = case["label"]
    tp = sum(g == p == one for g, p in zip(gold, pred))
    f1 = sk.f1_score(gold, pred, labels=[one], average=None, zero_division=0)[0]
    kappa = sk.cohen_kappa_score(gold, pred)
    return {
        "accuracy": sk.accuracy_score(gold, pred),
        "macro_f1": sk.f1_score(gold, pred, average="macro"),
        "micro_f1": sk.f1_score(gold, pred, average="micro"),
        "weighted_f1": sk.f1_score(gold, pred, average="weighted"),
        "balanced": sk.balanced_accuracy_score(gold, pred),
        "mcc": sk.matthews_corrcoef(gold, pred),
        "kappa": kappa,
        "precision": sk.precision_score(gold, pred, labels=[one], average="macro", zero_division=0) if one in pred else None,
        "recall": sk.recall_score(gold, pred, labels=[one], average="macro", zero_division=0) if one in gold else None,
        "f1": f1 if one in gold or one in pred else None,
    }


def ancestors(codes):
    return {".".join(c.split(".")[: i + 1]) for c in codes for i in range(c.count(".") + 1)}


def sets(case):
    gold, pred, names = case["gold"], case["pred"], case["taxonomy"]
    binary = MultiLabelBinarizer(classes=names).fit([names])
    g, p = binary.transform(gold), binary.transform(pred)
    support = g.sum(axis=0)
    per = sk.f1_score(g, p, average=None, zero_division=0)
    enough = [f for f, n in zip(per, support) if n >= case["least"]]
    h = sorted({a for n in names for a in ancestors([n])})
    up = MultiLabelBinarizer(classes=h).fit([h])
    hg, hp = up.transform([ancestors(s) for s in gold]), up.transform([ancestors(s) for s in pred])
    some = g.sum() + p.sum() > 0
    return {
        "micro_f1": sk.f1_score(g, p, average="micro") if some else 1.0,
        "micro_precision": sk.precision_score(g, p, average="micro") if p.sum() else None,
        "micro_recall": sk.recall_score(g, p, average="micro") if g.sum() else None,
        "macro_f1": float(np.mean(enough)) if enough else None,
        "subset": sk.accuracy_score(g, p),
        "hamming": sk.hamming_loss(g, p),
        "hierarchical_f1": sk.f1_score(hg, hp, average="micro") if some else 1.0,
        "label_f1": per[0] if support[0] + p[:, 0].sum() else None,
        "label_precision": sk.precision_score(g[:, 0], p[:, 0]) if p[:, 0].sum() else None,
        "label_recall": sk.recall_score(g[:, 0], p[:, 0]) if support[0] else None,
    }


def levels(case):
    gold, pred = repeated(case, "gold", "pred")
    if not gold:
        return {"qwk": None, "linear": None, "mae": None}
    same = len(set(gold) | set(pred)) == 1  # scikit-learn has nan; the project's scorer 1
    scale = list(range(case["k"]))
    return {
        "qwk": 1.0 if same else sk.cohen_kappa_score(gold, pred, weights="quadratic", labels=scale),
        "linear": 1.0 if same else sk.cohen_kappa_score(gold, pred, weights="linear", labels=scale),
        "mae": sk.mean_absolute_error(gold, pred),
    }


def distributions(case):
    p, q = (np.asarray(case[x], dtype=float) / sum(case[x]) for x in "pq")
    bins = np.arange(len(p))
    weighted = np.abs(np.subtract.outer(bins, bins)) @ (p - q) ** 2
    od = lambda of: weighted[of > 0].mean()
    return {
        "nmd": stats.wasserstein_distance(bins, bins, p, q) / (len(p) - 1),
        "rsnod": math.sqrt((od(p) + od(q)) / 2 / (len(p) - 1)),
    }


def gaps(p, y, w, edges):
    """Weighted share of rows and |mean p - rate| of each bin (lo, hi] that holds any."""
    bins = np.searchsorted(edges, p)  # as sklearn.calibration.calibration_curve
    out = []
    for b in np.unique(bins):
        here = bins == b
        if w[here].sum() > 0:
            out.append((w[here].sum() / w.sum(), abs(np.average(p[here], weights=w[here]) - np.average(y[here], weights=w[here]))))
    return out


def cuts(p, m):
    """The inner m-quantiles as numpy.percentile(p, ...), but for its rounding of the
    position i(n-1)/m, which moves a cut off the very value it lies on."""
    p, out = np.sort(p), []
    for i in range(1, m):
        at, rest = divmod(i * (len(p) - 1), m)
        out.append(float(np.interp(rest / m, [0, 1], p[at : at + 2])) if rest else float(p[at]))
    assert np.allclose(out, np.percentile(p, np.linspace(0, 100, m + 1))[1:-1], atol=1e-12)
    return np.array(out)


def calibration(case):
    p, y, m = np.array(case["p"]), np.array(case["gold"]), case["bins"]
    w = np.array(case.get("weights") or [1] * len(p))
    rows, right = np.array(case["multi"]), np.array(case["class"])
    hot = np.eye(rows.shape[1])[right]
    out = {
        "multi_brier": float(np.mean(np.sum((rows - hot) ** 2, axis=1))),
        "multi_log_loss": sk.log_loss(right, rows, labels=range(rows.shape[1])),
    }
    figures = ["brier", "log_loss", "ece_width", "ece_mass", "mce_width", "mce_mass"]
    if w.sum() == 0:
        return {**out, **{f: None for f in figures}}
    width = gaps(p, y, w, np.arange(1, m) / m)
    mass = gaps(p, y, w, cuts(p, m))
    out["brier"] = sk.brier_score_loss(y, p, sample_weight=w, pos_label=1)
    out["log_loss"] = sk.log_loss(y, p, sample_weight=w, labels=[0, 1])
    out["ece_width"], out["ece_mass"] = (sum(s * g for s, g in x) for x in (width, mass))
    out["mce_width"], out["mce_mass"] = (max(g for _, g in x) for x in (width, mass))
    return out


def binary(case):
    score, gold = repeated(case, "score", "gold")
    n, pos = len(gold), sum(gold)
    s, y = np.array(score), np.array(gold)
    cost = lambda t: float(np.mean(np.where(y == 1, (s < t) * case["miss"], (s >= t) * case["alarm"])))
    left, found = case["share"] * n, 0.0
    for v in sorted(set(score), reverse=True):
        tie = s == v
        found += y[tie].sum() * min(1, left / tie.sum())
        left = max(0, left - tie.sum())
    return {
        "auroc": sk.roc_auc_score(y, s) if 0 < pos < n else None,
        "ap": sk.average_precision_score(y, s) if pos else None,
        "cost": cost(case["threshold"]) if n else None,
        "min_cost": min(cost(t) for t in sorted(set(score)) + [math.inf]) if n else None,
        "recall_at_budget": ratio(found, pos),
    }


def curve(case):
    """The points of the ROC and precision-recall curves, as sums that any wrong point changes."""
    y, s = np.array(case["gold"]), np.array(case["score"])
    out = {"roc": None, "pr": None}
    if 0 < y.sum() < len(y):
        fpr, tpr, _ = sk.roc_curve(y, s, drop_intermediate=False)
        out["roc"] = float(sum((i + 1) * (f + 2 * t) for i, (f, t) in enumerate(zip(fpr, tpr))))
    if y.sum():
        precision, recall, _ = sk.precision_recall_curve(y, s)
        # From none alerted on; scikit-learn 1.2 goes on to the lowest score, as here.
        points = list(zip(precision, recall))[::-1]
        out["pr"] = float(sum((i + 1) * (p + 2 * r) for i, (p, r) in enumerate(points)))
    return out


def trec(qrels, run, measures, level):
    """Means over all queries of qrels, as trec_eval -c."""
    got = pytrec_eval.RelevanceEvaluator(qrels, measures, relevance_level=level).evaluate(run) if run else {}
    names = {n for q in got.values() for n in q}
    return {n: sum(got.get(q, {}).get(n, 0.0) for q in qrels) / len(qrels) for n in names}


def ranking(case):
    qrels, k, level = case["qrels"], case["k"], case["relevant"]
    run = {q: {d: s for d, s in docs} for q, docs in case["run"].items() if docs}
    order = {q: sorted(docs.items(), key=lambda x: (x[1], x[0]), reverse=True) for q, docs in run.items()}
    top = {q: dict(docs[:k]) for q, docs in order.items()}
    condensed = {q: {d: s for d, s in docs.items() if d in qrels.get(q, {})} for q, docs in run.items()}
    condensed = {q: docs for q, docs in condensed.items() if docs}
    cuts = {f"{m}.{k}" for m in ["ndcg_cut", "P", "recall", "map_cut", "success"]}
    plain = trec(qrels, run, cuts | {"map", "recip_rank", "ndcg"}, level)
    cut = trec(qrels, top, {"recip_rank"}, level)
    cond = trec(qrels, condensed, cuts, level)
    known = trec({q: {d: 1 for d in docs} for q, docs in qrels.items()}, run, {f"P.{k}"}, 1)
    return {
        "ndcg_k": plain.get(f"ndcg_cut_{k}", 0.0), "p_k": plain.get(f"P_{k}", 0.0), "recall_k": plain.get(f"recall_{k}", 0.0),
        "map_k": plain.get(f"map_cut_{k}", 0.0), "hit_k": plain.get(f"success_{k}", 0.0), "map": plain.get("map", 0.0),
        "mrr": plain.get("recip_rank", 0.0), "ndcg": plain.get("ndcg", 0.0), "mrr_k": cut.get("recip_rank", 0.0),
        "condensed_ndcg_k": cond.get(f"ndcg_cut_{k}", 0.0), "condensed_map_k": cond.get(f"map_cut_{k}", 0.0),
        "judged_k": known.get(f"P_{k}", 0.0),
    }


def agreement(case):
    ratings = np.array([[np.nan if x is None else x for x in item] for item in case["ratings"]], dtype=float)
    out = {"fleiss": None}
    if not np.isnan(ratings).any() and len(np.unique(ratings)) > 1:
        out["fleiss"] = inter_rater.fleiss_kappa(inter_rater.aggregate_raters(ratings)[0])
    paired = ratings[(~np.isnan(ratings)).sum(axis=1) > 1]
    varied = len(np.unique(paired[~np.isnan(paired)])) > 1
    for level in ["nominal", "ordinal", "interval"]:
        out[level] = krippendorff.alpha(reliability_data=ratings.T, level_of_measurement=level) if varied else None
    return out


def intervals(case):
    low, high = proportion.proportion_confint(case["hits"], case["n"], alpha=1 - case["confidence"], method="wilson")
    samples = np.array(case["samples"])
    return {
        "wilson_low": low, "wilson_high": high,
        "quantile_low": np.percentile(samples, 50 * (1 - case["confidence"])), "quantile_high": np.percentile(samples, 50 * (1 + case["confidence"])),
        "p": min(1, 2 * (min((samples <= 0).sum(), (samples >= 0).sum()) + 1) / (len(samples) + 1)),
    }


def tests(case):
    b, c = case["base"], case["candidate"]
    n, k = b + c, min(b, c)
    exact = contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue
    mid = 1.0 if n == 0 else 1 - stats.binom.pmf(k, n, 0.5) / 2 if b == c else 2 * stats.binom.cdf(k, n, 0.5) - stats.binom.pmf(k, n, 0.5)
    out = {"mcnemar": exact, "mid_p": mid}
    for i, p in enumerate(multitest.multipletests(case["p"], method="holm")[1]):
        out[f"holm_{i}"] = p
    return out


def connor(n, delta, discordant, alpha):
    z, sd = stats.norm.isf(alpha / 2), math.sqrt(discordant - delta**2)
    shift = delta * math.sqrt(n)
    return stats.norm.sf((z * math.sqrt(discordant) - shift) / sd) + stats.norm.cdf((-z * math.sqrt(discordant) - shift) / sd)


def designs(case):
    n, delta, sd, alpha, target = (case[x] for x in ["n", "delta", "sd", "alpha", "power"])
    share = case["discordant"]
    normal = lambda size, effect: power.normal_power(effect / sd, size, alpha, alternative="two-sided", sigma=1.0)
    z = stats.norm.isf(alpha / 2) + stats.norm.ppf(target)  # of the textbook formula, which brackets the root
    root = lambda f, guess, most: optimize.brentq(lambda x: f(x) - target, guess * 0.3, min(guess * 2, most), xtol=1e-14, rtol=1e-14)
    top = share * (1 - 1e-15)
    reach = connor(n, top, share, alpha) >= target
    return {
        "mean_power": normal(n, delta),
        "mean_effect": root(lambda x: normal(n, x), z * sd / math.sqrt(n), math.inf),
        "mean_n": math.ceil(root(lambda x: normal(x, delta), (z * sd / delta) ** 2, math.inf)),
        "share_power": connor(n, delta, share, alpha),
        "share_effect": root(lambda x: connor(n, x, share, alpha), z * math.sqrt(share / n), top) if reach else None,
        "share_n": math.ceil(root(lambda x: connor(x, delta, share, alpha), z**2 * share / delta**2, math.inf)),
    }


def plain(value):
    """A number that JSON has: null for what does not exist."""
    if value is None:
        return None
    value = float(value)
    return value if math.isfinite(value) else None


FAMILIES = {f.__name__: f for f in [classes, sets, levels, distributions, calibration, binary, curve, ranking, agreement, intervals, tests, designs]}


def version_of(name, module):
    try:
        from importlib.metadata import version

        return version(name)
    except Exception:
        return getattr(module, "__version__", "unknown")


def main():
    cases = json.load(sys.stdin)
    gc.freeze()  # multipletests collects garbage on every call
    figures = {}
    for family, of in cases.items():
        figures[family] = [{k: plain(v) for k, v in FAMILIES[family](case).items()} for case in of]
    versions = {"python": sys.version.split()[0], "numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__,
                "statsmodels": statsmodels.__version__, "krippendorff": version_of("krippendorff", krippendorff)}
    for name in ["pytrec_eval", "pytrec-eval-terrier"]:
        try:
            from importlib.metadata import version

            versions[name] = version(name)
        except Exception:
            continue
    json.dump({"versions": versions, "figures": figures}, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
