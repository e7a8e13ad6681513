"""Tables of the studies: the paper's future work, without redshift, steadiness, two peers."""

from collections.abc import Iterable
from statistics import mean, stdev
from typing import Any

from speed_tables import PRESETS
from tables import PHASES, RESULTS, STUDIES, machine, read, table

VIEWS = {days: words for days, words in PHASES.items() if days != "0"}  # of the future work
SUPERNOVAE = ("SNIa", "SNIax", "SNIbc")


def _parts() -> dict[str, Any]:
    return dict(read(RESULTS / "future-work.json")["parts"])


def _signed(pair: list[float]) -> str:
    """A difference and its standard deviation."""
    return f"{pair[0]:+.3f} ± {pair[1]:.3f}"


def _differences(found: dict[str, Any]) -> list[str]:
    whole = [_signed(found["all"][key]) for key in ("accuracy", "macro_f1", "log_loss")]
    return [*whole, _signed(found["8"]["accuracy"])]


def future_table() -> str:
    """Every item: the trial, the difference that it makes, its cost, the verdict."""
    items = _items(_parts())
    rows = [[*words, *_differences(found), cost, verdict] for words, found, cost, verdict in items]
    head = ["item", "tried", "accuracy", "macro F1", "log-loss", "accuracy at 8 d", "cost", "kept"]
    return table(head, rows)


def _items(parts: dict[str, Any]) -> Iterable[tuple[tuple[str, str], dict[str, Any], str, str]]:
    yield from _trees(parts["hybrids"], parts["ensembles"])
    yield from _encoder(parts["compression"], parts["attention"])
    for arm, found in parts["generated"]["difference"].items():
        words = f"{parts['generated']['distinguished'][arm]['rows']:,} more rows of rare classes, {arm}"
        yield ("rare classes", words), found, "training rows", "no"
    spectra = parts["spectra"]
    for share, found in spectra["product"].items():
        words = f"a simulated spectrum near peak, right in {100 * float(share):.0f} %, by product"
        yield ("spectra", words), found, "a spectrum; without one, none", "not yet in the package"
    columns = {
        "with a spectrum, against the light curve alone": "as columns of the trees",
        "without one, against the light curve alone": "as columns of the trees, and none given",
    }
    for key, words in columns.items():
        yield ("spectra", words), spectra["columns"][key], "training", "no: the product is as good"


def _trees(hybrids: dict[str, Any], ensembles: dict[str, Any]) -> Iterable[Any]:
    own = hybrids["cost"]["LightGBM"]
    kinds = list(hybrids["cost"])

    def cost(*used: str) -> str:
        times, sizes = (
            sum(hybrids["cost"][kind][key] / own[key] for kind in used) for key in ("us_per_object", "bytes")
        )
        return f"{times:.1f} times the time, {sizes:.1f} the size"

    for kind, found in hybrids["in place of LightGBM"].items():
        yield ("hybrids", f"{kind} in place of LightGBM"), found, cost(kind), "no"
    for kind, found in hybrids["beside LightGBM"].items():
        used = kinds if kind == "all four" else ["LightGBM", kind]
        words = "all four kinds" if kind == "all four" else f"LightGBM with {kind}"
        yield ("hybrids", f"{words}, geometric mean"), found, cost(*used), "no"
    yield ("ensembles", "one other seed, for comparison"), ensembles["another seed"], "none", ""
    named = {
        "mean of five seeds": "mean of five seeds",
        "bagging, five boosters": "bagging, five boosters",
        "stacking, weights per kind": "stacking of the four kinds, one weight each",
        "stacking, logistic regression": "stacking of the four kinds, logistic regression",
    }
    for key, words in named.items():
        price = "5 times the time and size" if "five" in key else cost(*kinds)
        yield ("ensembles", words), ensembles[key], price, "no"


def _encoder(compression: dict[str, Any], attention: dict[str, Any]) -> Iterable[Any]:
    full = compression["bytes"]["half precision"]

    def cost(name: str) -> str:
        for key, size in compression["bytes"].items():
            if name == key or (name == "dynamic integers" and key == "integers"):
                return f"{size / full:.2f} of the size"
        return ""

    for name, found in compression["difference"].items():
        words = name.replace("pruned 0.", "pruned .")
        yield ("pruning, 8 bits", f"encoder, {words}"), found["latents and features"], cost(name), "no"
    state = attention["cost"]
    for reader, found in attention["beside"].items():
        price = f"{state[reader]['state_bytes']:,} bytes of state per object"
        words = f"{reader}, trained with the classes, beside the trees (weight {found['weight']:g})"
        yield ("attention", words), found, price, "no"


def compression_table() -> str:
    """Answers that depend on the encoder, and its time."""
    part = _parts()["compression"]
    kinds = ("latents and features", "latents and running summary", "latents alone")
    rows = [
        [name.replace("pruned 0.", "pruned ."), *(_signed(found[kind]["all"]["accuracy"]) for kind in kinds)]
        for name, found in part["difference"].items()
    ]
    rows.insert(
        0, ["accuracy as it is", *(f"{part['reference'][kind]['all']['accuracy']:.3f}" for kind in kinds)]
    )
    times = "; ".join(
        f"{n.replace('1 objects', 'one object')}: "
        + ", ".join(f"{name} {spent:g} µs" for name, spent in found.items())
        for n, found in part["us_per_step"].items()
    )
    return table(["whole light curves", *kinds], rows, f"One step of the recurrent layers, {times}.")


def attention_table() -> str:
    """The networks alone, and against the one without attention."""
    part = _parts()["attention"]
    rows = []
    for reader, found in part["alone"].items():
        cells = [f"{found[v]['accuracy']:.3f} / {found[v]['macro_f1']:.3f}" for v in VIEWS]
        against = part["alone, against the last state"].get(reader)
        rows.append([reader, *cells, _signed(against["all"]["accuracy"]) if against else ""])
    trees = part["reference"]
    rows.append(
        ["the trees", *(f"{trees[v]['accuracy']:.3f} / {trees[v]['macro_f1']:.3f}" for v in VIEWS), ""]
    )
    return table(["accuracy / macro F1", *VIEWS.values(), "whole, against the last state"], rows)


def generated_table() -> str:
    """Separation of copies from real objects, and their worth for rare classes."""
    part = _parts()["generated"]
    rare = list(part["rare"])
    rows = []
    for arm, found in part["distinguished"].items():
        cells = [_signed(part["f1"][arm]["all"][name][2:]) for name in rare]
        rows.append([arm, f"{found['auc']:.3f}", *cells])
    counts = ", ".join(f"{name} {n}" for name, n in part["rare"].items())
    head = ["copies", "AUC, real against copy", *(f"F1 of {name}" for name in rare)]
    return table(head, rows, f"Training objects of the rare classes: {counts}.")


def spectra_table() -> str:
    """F1 of three classes with and without a spectrum."""
    part = _parts()["spectra"]
    rows = []
    for view in ("8", "32", "all"):
        for name in SUPERNOVAE:
            own = [part["f1"][share][view][name] for share in part["f1"]]
            rows.append([VIEWS[view], name, f"{own[0][0]:.2f}", *(f"{f[1]:.2f} ± {f[3]:.2f}" for f in own)])
    head = ["phase", "class", "light curve alone", *(f"spectrum, {float(s):.0%} right" for s in part["f1"])]
    return table(head, rows)


def future_objects() -> str:
    """Objects, and where each part was run."""
    parts = _parts()
    n = parts["hybrids"]["objects"]
    scores = parts["hybrids"]["reference"]["all"]
    where = parts["hybrids"]
    return (
        f"{n['train']:,} objects train, {n['calibrate']:,} calibrate and {n['score']:,} score. On these "
        f"the trees of `default` have accuracy {scores['accuracy']:.3f}, macro F1 {scores['macro_f1']:.3f}, "
        f"macro AUC {scores['macro_auc']:.3f} and log-loss {scores['log_loss']:.3f} for whole light curves. "
        f"{machine(where['machine'])}; commits "
        f"{', '.join(sorted({part['commit'] for part in parts.values()}))}."
    )


def no_redshift_table() -> str:
    """Skill without redshift."""
    result = read(RESULTS / "no-redshift.json")
    cases = dict(result["cases"])
    bare = result.get("trained without")
    if bare:
        cases["no redshift, of the first fold"] = bare["same objects, trained with"]
        cases["no redshift, none in training either, first fold"] = bare["cases"]
    rows = []
    for name, found in cases.items():
        whole = found["all"]["all"]
        cells = [f"{whole[k][0]:.3f} ± {whole[k][1]:.3f}" for k in ("accuracy", "macro_f1", "macro_auc")]
        early = [f"{found[v]['all']['accuracy'][0]:.3f}" for v in ("2", "8", "32")]
        outside = f"{found['all']['extragalactic']['accuracy'][0]:.3f}"
        rows.append([name, *cells, outside, *early])
    head = ["given", "accuracy", "macro F1", "macro AUC", "accuracy, extragalactic", "at 2 d", "8 d", "32 d"]
    objects = f"{result['n_objects']:,} test objects of {result['n_folds']} folds; commit {result['commit']}."
    return table(head, rows, objects)


def stability_table() -> str:
    """Flips, length of the path, and days until the right answer stays."""
    result = read(RESULTS / "stability.json")
    words = {
        "flips_per_object": ("flips per object", 2),
        "without_a_flip": ("objects without a flip", 3),
        "flips_after_32_days": ("flips per object after day 32", 2),
        "path": ("length of the path", 2),
        "distance_per_answer": ("distance between successive answers", 4),
        "right_stays": ("right answer stays in the end", 3),
        "right_stays_by_2": ("right answer stays by day 2", 3),
        "right_stays_by_8": ("right answer stays by day 8", 3),
        "right_stays_by_32": ("right answer stays by day 32", 3),
        "median_days_until_first_right": ("median days until the first right answer", 1),
        "median_days_until_right_stays": ("median days until the right answer stays", 1),
    }

    def cell(pair: list[float | None], digits: int) -> str:
        if pair[0] is None:
            return "never"
        spread = "" if pair[1] is None else f" ± {pair[1]:.{digits}f}"
        return f"{pair[0]:.{digits}f}{spread}"

    other = read(RESULTS / "supernnova.json")
    cases, peer = result["cases"], other["cases"]
    columns = {
        f"{who}, {part}": of[part]
        for part in cases
        for who, of in (("`default`", cases), ("SuperNNova", peer))
    }
    rows = [[text, *(cell(found[key], n) for found in columns.values())] for key, (text, n) in words.items()]
    counts = ", ".join(
        f"{found['n_objects']:,} objects ({name}) with {found['answers_per_object']:g} answers each"
        for name, found in cases.items()
    )
    note = (
        f"{counts}, test objects of {result['n_folds']} folds; commit {result['commit']}. SuperNNova: "
        f"{other['n_objects']:,} objects of {len(other['folds'])} folds; commit {other['commit']}."
    )
    return table(["night by night", *columns], rows, note)


def supernnova_table() -> str:
    """SuperNNova, `default` and `fast` on the same test objects, by days since trigger."""
    result = read(RESULTS / "supernnova.json")
    keys = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auc": "macro AUC"}
    who = {f"`{name}`": read(RESULTS / f"crossval-{name}.json")["by_phase"] for name in reversed(PRESETS)}
    who["SuperNNova"] = result["by_phase"]

    def cell(found: dict[str, Any]) -> str:
        folds = [found["folds"][k] for k in result["folds"]]  # of firstlight, those that SuperNNova has too
        return f"{mean(folds):.3f} ± {stdev(folds):.3f}"

    rows = [
        [f"{word}, {part}, {name}", *(cell(phases[days][part][key]) for days in PHASES)]
        for key, word in keys.items()
        for part in ("all", "extragalactic")
        for name, phases in who.items()
    ]
    return table(["days since trigger", *PHASES.values()], rows, *_supernnova_training(result))


def _supernnova_training(result: dict[str, Any]) -> Iterable[str]:
    """What was trained, and how long it took."""
    runs = list(result["training"].values())
    used, best = runs[0]["versions"], [run["best_epoch"] for run in runs]
    time = f"{mean(run['cpu_s'] for run in runs) / 60:.0f} minutes of one core for each fold"
    yield (
        f"SuperNNova {used['supernnova']} with PyTorch {used['torch']}, folds: {len(runs)} of 5, "
        f"{result['n_objects']:,} test objects: {runs[0]['epochs']} epochs, {time}, "
        f"networks of epochs {min(best)} to {max(best)}; commit {result['commit']}."
    )
    tried = [
        f"{own['least_loss']:.2f} after {own['epochs']} epochs with a "
        + ("constant rate" if own["policy"] == "constant" else "rate in one cycle")
        + (" and no floor" if own["floor"] == "-inf" else f" and a floor of {own['floor']}")
        for own in result["trials"]
    ]
    yield ""
    yield f"Least loss on held-out training objects of the first fold: {'; '.join(tried)}. The last was used."


def parsnip_table() -> str:
    """ParSNIP and firstlight on the same folds."""
    result = read(RESULTS / "parsnip-ground.json")
    keys = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auc": "macro AUC", "log_loss": "log-loss"}
    rows = [
        [name, *("{mean:.3f} ± {std:.3f}".format(**result[part][key]) for key in keys)]
        for part, name in (("firstlight", "firstlight, features and trees"), ("parsnip", "ParSNIP"))
    ]
    own = result["firstlight"]
    return table([f"{own['n_objects']:,} objects, {own['n_folds']} of ten folds", *keys.values()], rows)


def feedback_table() -> str:
    """Purity of the first 50 candidates after some verdicts, beside that of a random list."""
    result = read(STUDIES / "feedback.json")
    rows = []
    for name, own in result["found"].items():
        for method, found in own["methods"].items():
            cells = [f"{p['mean']:.2f} ± {p['sd']:.2f}" for p in found["purity"].values()]
            rows.append([f"{name}, {method}", f"{own['by_chance']:.2f}", *cells])
    own = next(iter(result["found"].values()))
    verdicts = next(iter(own["methods"].values()))["purity"]
    note = (
        f"{result['draws']} draws, `{result['preset']}`; with {own['n_rare']} such objects no list of 50 is "
        f"purer than {own['n_rare'] / 50:.2f}. {machine(result['machine'])}; commit {result['commit']}."
    )
    return table(["hidden class, order", "by chance", *(f"{n} verdicts" for n in verdicts)], rows, note)


def teaching_table() -> str:
    """Gain of a classifier from spectra, by the way they were chosen."""
    result = read(STUDIES / "teaching.json")

    def cell(found: dict[str, float], spread: str) -> str:
        text = f"{found['mean']:+.3f}" if spread == "error" else f"{found['mean']:.3f}"
        return f"{text} ± {found[spread]:.3f}"

    rows = []
    for name, own in result["choices"].items():
        cells = [cell(own["scores"][view]["accuracy"], "std") for view in ("day 8", "whole")]
        for view in ("day 8", "whole"):
            cells += [cell(own["difference"][view][key], "error") for key in ("accuracy", "macro_f1")]
        rows.append([name, *cells, f"{own['spectra']['median magnitude']:.1f}"])
    views = ("after 8 days", "whole")
    head = ["choice", *(f"accuracy, {v}" for v in views)]
    head += [f"{key} against chance, {v}" for v in views for key in ("accuracy", "macro F1")]
    note = f"{result['starts']} start samples; {machine(result['machine'])}; commit {result['commit']}."
    return table([*head, "median magnitude"], rows, note)


STUDY_BLOCKS = {
    "feedback": feedback_table,
    "teaching": teaching_table,
    "future-objects": future_objects,
    "future-work": future_table,
    "compression": compression_table,
    "attention": attention_table,
    "generated": generated_table,
    "spectra": spectra_table,
    "no-redshift": no_redshift_table,
    "stability": stability_table,
    "supernnova": supernnova_table,
    "parsnip-ground": parsnip_table,
}
