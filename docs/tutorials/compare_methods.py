# %% [markdown]
# # Compare two methods honestly
#
# **At the end** you will have compared a classifier of your own with firstlight on the same unseen objects, with an interval for the
# difference, and you will have seen a score that is too good to be true, and why. **Time**: fifteen minutes. **You need** the extra
# `train` (for scikit-learn).
#
# Our own method is a random forest on nine simple numbers per light curve. It works on anything that gives a probability
# per class: a table with `object_id` and columns `proba_CLASS`.

# %%
import numpy as np
import pandas as pd

from firstlight import CLASSES, Pipeline, Truth, read

curves = read("sample/curves.csv.gz", "sample/metadata.csv.gz")
truth = Truth.read("sample/metadata.csv.gz")


def numbers(curves):
    """Nine numbers per object: redshift, duration, and size and colour of the detections."""
    rows, objects = curves.to_pandas()
    seen = rows[rows["detected"]]
    size = np.sign(seen["flux"]) * np.log10(np.abs(seen["flux"]) + 1.0)
    by_object = size.groupby(seen["object_id"], sort=False)
    table = by_object.agg(["count", "min", "max", "mean", "std"])
    times = seen.groupby("object_id", sort=False)["mjd"]
    table["duration"] = times.max() - times.min()
    for band in ("g", "i"):
        table[band] = size[seen["band"] == band].groupby(seen["object_id"]).median()
    table["redshift"] = objects.set_index("object_id")["redshift"]
    return table.reindex(curves.object_id).fillna(-1.0).to_numpy()


# %% [markdown]
# ## A score that is too good
#
# To have more to learn from, cut each light curve at several phases, as a survey would see it. That gives a thousand rows from 202
# objects. Then split the rows at random, three quarters to train and one quarter to test, as in any machine-learning
# course:

# %%
from sklearn.ensemble import RandomForestClassifier

phases = (2.0, 8.0, 32.0, 128.0, np.inf)
rows = np.vstack([numbers(curves.upto_phase(days)) for days in phases])
labels = np.tile(truth.labels_of(curves.object_id), len(phases))
owner = np.tile(np.arange(len(curves)), len(phases))


def accuracy(test):
    """Accuracy of a forest on the rows of `test`, trained on the others."""
    forest = RandomForestClassifier(150, random_state=0).fit(rows[~test], labels[~test])
    return np.mean(forest.predict(rows[test]) == labels[test])


draw = np.random.default_rng(0)
by_row = accuracy(draw.random(len(rows)) < 0.25)
by_object = accuracy(np.isin(owner, draw.permutation(len(curves))[: len(curves) // 4]))
pd.DataFrame({"split": ["by row", "by object"], "accuracy": [by_row, by_object]}).round(2)

# %% [markdown]
# The first number is wrong. Nearly every object of the test rows is also among the training rows, at another phase, so the
# forest recognises the object (by its exact redshift, for example) instead of its class. On new objects it reaches the second
# number. **Split by object, before anything else**: before copies, augmentation, scaling or tuning. This fault is in published
# papers, too: [leakage](../concepts/leakage.md).
#
# ## Two methods, the same objects
#
# Half of the objects train the forest; the other half test both methods. The bundle `unseen` has seen none of them.

# %%
order = draw.permutation(len(curves))
train, test = curves.take(order[: len(curves) // 2]), curves.take(order[len(curves) // 2 :])
forest = RandomForestClassifier(300, random_state=0)
forest.fit(
    np.vstack([numbers(train.upto_phase(days)) for days in phases]),
    np.tile(truth.labels_of(train.object_id), len(phases)),
)


def of_the_forest(curves):
    """Probabilities as a table that firstlight reads; no class has less than 0.001."""
    proba = pd.DataFrame(forest.predict_proba(numbers(curves)), columns=forest.classes_)
    proba = proba.reindex(columns=CLASSES, fill_value=0.0).clip(lower=0.001)
    proba = proba.div(proba.sum(axis=1), axis=0).add_prefix("proba_")
    return proba.assign(object_id=curves.object_id)


of_the_forest(test).to_csv("forest.csv", index=False)
Pipeline.load("sample/unseen").predict(test).to_pandas().to_csv("firstlight.csv", index=False)

# %%
# !firstlight compare forest.csv firstlight.csv --truth sample/metadata.csv.gz

# %% [markdown]
# `compare` draws the test objects again, with replacement, a thousand times, and scores both methods on each draw. Objects that are
# hard for both hardly change the difference, so its interval is narrower than those of the two scores suggest. If the interval
# contains zero, the methods cannot be told apart, and more objects are needed.
#
# The comparison is fair in that both see the same observations of the same new objects. It is unfair in that firstlight had 7,646
# objects to learn from and the forest 101. State such differences beside a table.
#
# ## At every phase
#
# A method that wins on whole light curves may lose on the first night. The same comparison at each phase:

# %%
from firstlight.metrics.compare import compare
from firstlight.report.style import new_figure

pipeline = Pipeline.load("sample/unseen")
known = truth.labels_of(test.object_id)
gains = []
for days in phases:
    cut = test.upto_phase(days)
    own = of_the_forest(cut)[[f"proba_{name}" for name in CLASSES]].to_numpy()
    gains.append(compare(known, own, pipeline.predict_proba(cut), n_resamples=300)["accuracy"])
table = pd.DataFrame(gains, index=["2 d", "8 d", "32 d", "128 d", "all"])

figure = new_figure(height=3.0, width=6.0)
panel = figure.subplots()
error = [table["difference"] - table["low"], table["high"] - table["difference"]]
panel.errorbar(table.index, table["difference"], yerr=error, fmt="o", capsize=3)
panel.axhline(0.0, color="grey", linewidth=0.8)
panel.set_ylabel("gain in accuracy of firstlight")
panel.set_xlabel("days since first detection")
panel.set_title("firstlight against a random forest, 95 % intervals", loc="left")
figure

# %% [markdown]
# ## The rules in short
#
# 1. Split by object, first.
# 2. The test objects choose nothing: no setting, no threshold, no number of training steps. What you choose, you choose on a part of
#    the training objects.
# 3. Compare on the same objects, with an interval for the difference.
# 4. Give the accuracy with a score of the probabilities (log-loss), and macro F1 where classes are unequal.
# 5. State the training set of each method.
#
# `firstlight crossval` and `firstlight holdout` follow them, and write the protocol into their reports.
