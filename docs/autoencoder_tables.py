"""Tables of the page about the autoencoder: alone, in parts, beside the presets, and in other uses."""

from typing import Any

from tables import PHASES, RESULTS, STUDIES, machine, read, table

PAGE = RESULTS / "autoencoder.json"
FAST = RESULTS / "fast-process.json"
METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auc": "macro AUC", "log_loss": "log-loss"}
PARTS = {
    "recurrent 6": "with the recurrent layers",
    "recurrent 6, without GP": "with these, without the Gaussian-process values",
    "joint 6, without cuts": "without copies cut at random days",
    "classes alone 6": "without reconstruction and KL divergence",
    "joint 16": "16 latents",
    "joint 64": "64 latents",
    "joint 256": "256 latents",
    "joint 6, seed 1": "another seed, for comparison",
    "joint 6, seed 2": "one more seed, for comparison",
    "three of joint 6": "mean of three seeds",
    "all joint": "mean of all joint networks",
}
USES = {
    "reconstruction error": "reconstruction error",
    "isolation, a forest a class, latents": "isolation in the latents",
    "distance on latents": "distance in the latents",
    "distance on the preset's rows (before)": "distance in the inputs of `default`",
    "chosen": "all four components, weighted (ships)",
}


def _pm(found: dict[str, Any], digits: int = 3, spread: str = "std") -> str:
    """A mean with its spread, where there is one."""
    text = f"{found['mean']:.{digits}f}" if spread == "std" else f"{found['mean']:+.{digits}f}"
    return text if found.get(spread) is None else f"{text} ± {found[spread]:.{digits}f}"


def _scores(found: dict[str, Any]) -> list[str]:
    """All metrics of whole light curves."""
    return [_pm(found["all"]["all"][key]) for key in METRICS]


def alone_table() -> str:
    """Every kind of network by itself, beside the presets."""
    found = read(PAGE)
    rows = [["preset `seed`: six latents without labels, its own trees", "5", *_preset("seed")]]
    for name, own in found["trees"].items():
        cost = found["networks"][name]
        words = f"without labels, {cost['latents']} latents, trees"
        rows.append([words, str(cost["folds"]), *_scores(own)])
    for name, own in found["alone"].items():
        rows.append([name, str(_folds(found, name)), *_scores(own)])
    rows += [[f"preset `{name}`", "5", *_preset(name)] for name in ("fast", "default")]
    head = ["whole light curves", "folds", *METRICS.values()]
    costs = sorted(own["cpu_seconds_per_network"] for own in found["networks"].values())
    span = f"{costs[0]:.0f} to {costs[-1]:.0f} s"
    note = f"{found['n_objects']:,} objects; a network trains for {span} of one core."
    return table(head, rows, note)


def _folds(found: dict[str, Any], name: str) -> int:
    """Folds that a network, or all members of an ensemble, were trained for."""
    members = {"three of joint 6": "joint 6, seed", "all joint": "joint"}
    own = [one["folds"] for key, one in found["networks"].items() if key.startswith(members.get(name, name))]
    return min(own) if name in members else int(found["networks"][name]["folds"])


def _preset(name: str) -> list[str]:
    scores = read(RESULTS / f"crossval-{name}.json")
    return [_pm(scores[key]) for key in METRICS]


def early_table() -> str:
    """Skill by phase."""
    found = read(PAGE)
    rows = []
    for metric, words in (("accuracy", "accuracy"), ("macro_auc", "macro AUC")):
        for kind in ("all", "extragalactic"):
            for name in ("joint 6", "three of joint 6", "joint 64"):
                if name in found["alone"]:
                    own = found["alone"][name]
                    cells = [f"{own[v][kind][metric]['mean']:.3f}" for v in PHASES]
                    rows.append([f"{name}, {words}, {kind}", *cells])
            for preset in ("fast", "default"):
                own = found["beside"][preset]["as it is"]
                cells = [f"{own[v][kind][metric]['mean']:.3f}" for v in PHASES]
                rows.append([f"preset `{preset}`, {words}, {kind}", *cells])
    return table(["days since trigger", *PHASES.values()], rows)


def parts_table() -> str:
    """Contribution of each part of the network."""
    found = read(PAGE)
    rows = []
    for name, words in PARTS.items():
        if name in found["against joint 6"]:
            own = found["against joint 6"][name]
            folds = _folds(found, name)
            cells = [_pm(own["all"][key], spread="error") for key in ("accuracy", "macro_f1", "log_loss")]
            rows.append([words, str(folds), *cells, _pm(own["8"]["accuracy"], spread="error")])
    head = ["against joint 6", "folds", "accuracy", "macro F1", "log-loss", "accuracy at 8 d"]
    return table(head, rows)


def beside_table() -> str:
    """Autoencoders beside the presets, by phase."""
    found = read(PAGE)
    rows = []
    for preset, own in found["beside"].items():
        for name, mixed in own["mixed"].items():
            rows.append([f"`{preset}` mixed with {name}", *_gains(mixed["difference"])])
    for preset, own in found["todays"].items():
        rows.append(
            [
                f"trees on the inputs of `{preset}`: with its six latents, against without",
                *_gains(own["difference"]),
            ]
        )
    head = [
        "difference",
        *(f"{PHASES[v]}, accuracy" for v in ("2", "8", "32")),
        "whole, accuracy",
        "macro F1",
        "log-loss",
    ]
    return table(head, rows)


def fast_table() -> str:
    """Gain of `fast` from columns of constant cost, paired over the folds that chose nothing."""
    found = read(FAST)
    rows = []
    for name, own in found["variants"].items():
        part = own.get("quoted") or own["chosen on"]
        folds = ", ".join(str(k) for k in part["folds"])
        rows.append([name, folds, *_changes(part["phases"])])
    head = [
        "beside the inputs of `fast`",
        "folds",
        *(f"{PHASES[v]}, accuracy" for v in ("0", "2", "8", "32")),
    ]
    return table([*head, "whole, accuracy", "macro F1", "macro AUC", "log-loss"], rows)


def fast_cost_table() -> str:
    """Processor time of the Gaussian process of nightly points, beside that of an alert of `fast`."""
    found = read(FAST)
    rows = []
    for view, own in found["us"].items():
        alert = own["alert"]
        cells = (own["points"], own["update"], own["read"], alert["fast"], alert["with the process"])
        others = (own["filter, update"], own["templates, near redshifts"])
        rows.append([PHASES.get(view, "a random detection"), *(f"{value:g}" for value in (*cells, *others))])
    head = [
        "test objects as they stood after",
        "points",
        "an observation joins its point",
        "process, read",
        "update of an alert, `fast`",
        "with the process",
        "an observation in the filter",
        "template fits",
    ]
    where = machine(found["machine"])
    note = f"Median processor times [us] of one core; fold 1, batches of 256 alerts; {where}."
    return table(head, rows, note)


def _changes(found: dict[str, Any]) -> list[str]:
    cells = [_change(found[view]["accuracy"]) for view in ("0", "2", "8", "32")]
    return [*cells, *(_change(found["all"][key], 4 if key == "macro_auc" else 3) for key in METRICS)]


def _change(found: dict[str, Any], digits: int = 3) -> str:
    """A paired difference with its standard error, where there is one."""
    text = f"{found['change']:+.{digits}f}"
    return text if found["error"] is None else f"{text} ± {found['error']:.{digits}f}"


def _gains(found: dict[str, Any]) -> list[str]:
    cells = [_pm(found[view]["accuracy"], spread="error") for view in ("2", "8", "32", "all")]
    return [*cells, *(_pm(found["all"][key], spread="error") for key in ("macro_f1", "log_loss"))]


def real_table() -> str:
    """Autoencoders on real objects."""
    found = read(PAGE)["real_sky"]
    keys = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "macro_auc": "macro AUC",
    }

    def cells(own: dict[str, Any]) -> list[str]:
        return [f"{own[key]['value']:.3f} ± {own[key]['std']:.3f}" for key in keys]

    rows = [[f"{name}, alone", *cells(own)] for name, own in found["alone"].items()]
    for preset in ("default", "fast"):
        rows += [[f"`{preset}`, {words}", *cells(own)] for words, own in found[preset].items()]
    return table([f"{found['n_testing']} real objects", *keys.values()], rows)


def strangers_table() -> str:
    """The autoencoder as an anomaly detector, from the study of the anomaly score."""
    means = read(STUDIES / "anomaly.json")["mean"]["default"]["test"]
    rows = []
    for key, words in USES.items():
        own = [means[view][key] for view in ("whole", "32 days")]
        cells = [f"{one['auc']:.2f}" for one in own] + [f"{own[0]['purity_top_1pct']:.2f}"]
        rows.append([words, *cells])
    head = ["mean of four hidden classes", "AUC, whole", "AUC, 32 d", "purity in the top 1 %, whole"]
    return table(head, rows)


def generator_table() -> str:
    """The autoencoder as a generator, from the study of the paper's future work."""
    own = read(RESULTS / "future-work.json")["parts"]["generated"]
    rows = []
    for arm, found in own["difference"].items():
        auc = own["distinguished"][arm]["auc"]
        change = found["all"]
        rows.append(
            [
                arm,
                f"{auc:.3f}",
                *(f"{change[k][0]:+.3f} ± {change[k][1]:.3f}" for k in ("accuracy", "macro_f1")),
            ]
        )
    return table(["copies of rare classes", "AUC, real against copy", "accuracy", "macro F1"], rows)


AUTOENCODER_BLOCKS = {
    "autoencoder-alone": alone_table,
    "autoencoder-early": early_table,
    "autoencoder-parts": parts_table,
    "autoencoder-beside": beside_table,
    "fast-process": fast_table,
    "fast-cost": fast_cost_table,
    "autoencoder-real": real_table,
    "autoencoder-strangers": strangers_table,
    "autoencoder-generator": generator_table,
}
