# %% [markdown]
# # Train on labels of your own
#
# **At the end** you will have a classifier trained on labels of your own, and an honest measurement of its gain over a
# bundle made for another survey. **Time**: fifteen minutes; the training here takes seconds, a real one
# minutes. **You need** the extra `train`.
#
# If your survey sees the sky in another way than LSST, and your classes are among those of a shipped bundle, adapt that bundle:
# [your survey in fifteen minutes](your_survey.md). This tutorial is about the other reason to train: you look for classes that the
# shipped bundles lack.
#
# ## Your objects
#
# Say that you hunt rare transients: calcium-rich transients (CaRT), intermediate-luminosity optical transients (ILOT) and
# pair-instability supernovae (PISN). PLAsTiCC's training set holds none of them, so the shipped bundles give them
# probability zero. `firstlight info` lists such classes.
#
# Here we simulate fifty of each from published physics, observed on the nights and with the noise of real survey
# cadences. In your case there is a file of light curves and a file of labels already.

# %%
# !firstlight simulate CaRT ILOT PISN --number 50 --data sample/curves.csv.gz --metadata sample/metadata.csv.gz \
#     --out simulated

# %%
import pandas as pd

from firstlight import LightCurves, Truth, read, write_curves

known, rare = read("sample/curves.csv.gz", "sample/metadata.csv.gz"), read("simulated/curves.parquet")
mine = LightCurves.concatenate([known, rare])
write_curves(mine, "mine.parquet")

labels = pd.DataFrame({"object_id": mine.object_id})
labels["class"] = [
    *Truth.read("sample/metadata.csv.gz").labels_of(known.object_id),
    *Truth.read("simulated/truth.parquet").labels_of(rare.object_id),
]
labels.to_csv("labels.csv", index=False)
labels["class"].value_counts().to_frame().T

# %% [markdown]
# `labels.csv` has two columns, `object_id` and `class`. One of the pair-instability supernovae: very bright, red, and it lasts for
# more than a year.

# %%
rare["sim-PISN-000004"].plot(window="detected", label="PISN")

# %% [markdown]
# ## Split first, by object
#
# Put some objects aside before anything else, and never let the training see them. Whole objects, not observations: two pieces of
# one light curve in both parts would make any score meaningless ([leakage](../concepts/leakage.md)). Take a quarter of each
# class:

# %%
shuffled = labels.sample(frac=1.0, random_state=0)
place = shuffled.groupby("class").cumcount() / shuffled.groupby("class")["class"].transform("size")
shuffled.loc[place < 0.25, "object_id"].to_csv("test.txt", index=False, header=False)
shuffled.loc[place >= 0.25, "object_id"].to_csv("train.txt", index=False, header=False)
print((place < 0.25).sum(), "objects to test,", (place >= 0.25).sum(), "to train")

# %% [markdown]
# ## Train
#
# Settings are a TOML file; those that it leaves out are those of the preset `default`. This one is small, for few objects:

# %%
# !cat sample/small.toml

# %%
# !firstlight train --data mine.parquet --truth labels.csv --objects train.txt --preset sample/small.toml --jobs 1 \
#     --out my-bundle

# %% [markdown]
# For thousands of objects use `--preset default` and all cores (leave out `--jobs`). A training that was interrupted resumes with the same command. The result is
# a folder, a *bundle*: `--bundle my-bundle` in every command, `Pipeline.load("my-bundle")` in Python.
#
# ## Is it better?
#
# Classify the objects that were put aside, with the bundle of the tutorials and with your own. Neither has seen them:

# %%
# !firstlight classify mine.parquet --objects test.txt --bundle sample/unseen --out before.csv
# !firstlight classify mine.parquet --objects test.txt --bundle my-bundle --out after.csv
# !firstlight compare before.csv after.csv --truth labels.csv

# %% [markdown]
# `compare` scores both on the same objects and resamples them, so that the interval belongs to the difference. Read the interval
# before the difference: with so few objects only a large gain shows. The log-loss punishes a probability of zero for the
# true class severely, and the first bundle gives zero to the rare classes.
#
# Which classes gain, and which lose? Split the answer by class:

# %%
from firstlight import read_predictions

before, after = read_predictions("before.csv"), read_predictions("after.csv")
truth = Truth.read("labels.csv").labels_of(before.object_id)
table = pd.DataFrame({"class": truth, "before": before.label == truth, "after": after.label == truth})
table["rare"] = table["class"].isin(["CaRT", "ILOT", "PISN"])
table.groupby("rare")[["before", "after"]].mean().round(2)

# %% [markdown]
# The new bundle finds rare classes, and is worse at the others: it knows 150 of those, the other bundle 7,646. So
# add your objects to a large training set where you can (`LightCurves.concatenate`, as above), rather than start from your own
# alone.
#
# ## The report
#
# `evaluate` writes all scores, the confusion matrix and the worst errors as one HTML file:

# %%
# !firstlight evaluate after.csv --truth labels.csv --out report

# %%
from firstlight import CLASSES
from firstlight.metrics.scores import confusion_matrix, truth_index
from firstlight.report import plots

matrix = confusion_matrix(truth_index(truth, CLASSES), after.proba.argmax(axis=1), len(CLASSES))
plots.confusion_matrix(matrix, CLASSES)

# %% [markdown]
# ## For real
#
# - With labels of classes that a shipped bundle knows, too, begin with `firstlight adapt`
#   ([your survey in fifteen minutes](your_survey.md)).
# - `firstlight crossval --data mine.parquet --truth labels.csv --folds 5 --out runs/mine` tests every object once, and gives each score a
#   spread.
# - The classifier learns the selection of your labels. If all your supernovae of type Ia are bright, the classifier learns that
#   faint ones are something else.
# - Compare on objects that are selected as those that you will classify.
