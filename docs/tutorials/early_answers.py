# %% [markdown]
# # Early answers, and how far to trust them
#
# **At the end** you will know how often firstlight is right on the first night, after a week and in the end, whether its
# probabilities are right, and how to choose a threshold for your own purpose. **Time**: ten minutes.
#
# A survey wants an answer on the night of discovery. Then the light curve has one or two points, and every classifier
# guesses. The question is whether its probabilities show this.

# %%
import json

import numpy as np
import pandas as pd

from firstlight import Pipeline, Truth, read
from firstlight.report.training import skill_against_phase

curves = read("sample/curves.csv.gz", "sample/metadata.csv.gz")
labels = Truth.read("sample/metadata.csv.gz").labels_of(curves.object_id)
pipeline = Pipeline.load("sample/unseen")
print(pipeline.trained_on(curves.object_id).sum(), "of", len(curves), "objects were trained on")

# %% [markdown]
# That line matters: a model that has seen an object
# is sure of it on the first night. Try `Pipeline.load()`, the bundle that ships with firstlight: it was trained on the whole
# PLAsTiCC training set, these objects too.
#
# ## The same objects, earlier
#
# The *phase* is the number of days since the first detection. `upto_phase` cuts each light curve there:

# %%
phases = {"first night": 0, "2 days": 2, "8 days": 8, "32 days": 32, "all": np.inf}
answers = {name: pipeline.predict(curves.upto_phase(days)) for name, days in phases.items()}
right = {name: answer.label == labels for name, answer in answers.items()}
top = {name: answer.proba.max(axis=1) for name, answer in answers.items()}
pd.DataFrame(
    [(name, (~answers[name].is_classified).sum(), right[name].mean(), top[name].mean()) for name in answers],
    columns=["up to", "not classified", "right", "mean probability of the answer"],
).round(2)

# %% [markdown]
# The best guess of the first night is right in less than half of the cases, and gets better with the light curve. The
# probability that firstlight gives to its best guess rises, too. But in the first days this probability is larger than the
# share of right answers. Why?
#
# ## The mix of classes
#
# A probability is a statement about a population. The sample has about equally many objects of each class; the training set, like
# a survey, has many supernovae of type Ia and few kilonovae. Where the light curve says little, this mix decides, and in the sample
# the mix is wrong. Count each object as often as its class occurs in the training set:

# %%
known = pipeline.info["objects_per_class"]
names, counts = np.unique(labels, return_counts=True)
weight = {name: known[name] / count for name, count in zip(names, counts)}
weights = np.array([weight[name] for name in labels])
pd.DataFrame(
    [
        (name, np.average(right[name], weights=weights), np.average(top[name], weights=weights))
        for name in answers
    ],
    columns=["up to", "right", "mean probability of the answer"],
).round(2)

# %% [markdown]
# Now the columns agree, to the few hundredths that 202 objects can show. Such a classifier is called *calibrated*. Keep
# both tables in mind: **the probabilities are those of a survey with the mix of the training set**, and a sample selected in another
# way (bright objects, objects with spectra) has another mix.
#
# ## More objects, less noise
#
# The cross-validation of the preset `default` over all objects of the training set has the same shape. Its bands are the
# spread between five folds; ECE (expected calibration error) is the mean gap between the two columns above:

# %%
with open("sample/crossval-default.json") as file:
    crossval = json.load(file)
skill_against_phase(crossval["by_phase"])

# %% [markdown]
# The orange curve leaves out the objects of the Milky Way. They are easy (a redshift of zero gives them away) and make the sum
# look better than it is. If you look for supernovae, orange is your curve.
#
# ## A threshold for your purpose
#
# Suppose that you spend telescope time on an answer only if its probability is at least 0.9. How many objects remain, and how many
# of these are right?

# %%
rows = []
for name in answers:
    sure = top[name] >= 0.9
    rows.append((name, sure.mean(), right[name][sure].mean(), right[name][~sure].mean()))
pd.DataFrame(rows, columns=["up to", "share above 0.9", "of these right", "of the others right"]).round(2)

# %% [markdown]
# The threshold works at any phase: answers above it are nearly all right, on the first night as well as in the end. Only the
# number of such answers changes with phase. So a fixed probability is a better rule than a fixed number of nights.
#
# A coarser question has an answer sooner. The classes fall into groups of similar behaviour (`SN-like`, `Long`, `Fast`,
# `Periodic`, `AGN`); a group's probability is the sum over its classes:

# %%
from firstlight.taxonomy import COARSE

groups = np.array([COARSE[name] for name in labels])
pd.DataFrame(
    [(name, right[name].mean(), (a.coarse_label == groups).mean()) for name, a in answers.items()],
    columns=["up to", "class right", "group right"],
).round(2)

# %% [markdown]
# ## One object, night by night
#
# A tidal disruption event. In its first two weeks it looks like a supernova of type Ia, and firstlight is nearly sure of
# it: one of the few cases in which a high probability is wrong.

# %%
timeline = pipeline.timeline(curves["9310078"])
timeline

# %%
timeline.plot(window=(-10, 120), label="TDE")

# %% [markdown]
# The grey strip at the start is *not classified*: with so little data firstlight declines, and shows the mix of the training set
# instead. The table of all nights is `timeline.to_pandas()`.
#
# ## Limits
#
# All of this holds for objects like those of the training set: simulated LSST light curves. On another survey the probabilities
# are too confident until you have measured them there ([train on your own labels](train_on_your_own.md)). An object of a
# kind that is not in the list of classes has no right answer at all; the anomaly score is for those ([strange
# objects](strange_objects.md)).
