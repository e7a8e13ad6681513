# %% [markdown]
# # Strange objects
#
# **At the end** you will have a list of the most unusual objects of a survey, you will know how often such a list is right, and what
# else ends up on it. **Time**: ten minutes.
#
# A classifier knows the classes that it was trained on, and gives every object to one of them. The discoveries are the objects
# that fit none. firstlight gives each object an *anomaly* score from 0 to 1: how unlike the training classes it is.
#
# ## Hide something
#
# To know whether a search finds strange objects, one must know which ones are strange. So we simulate twenty each of three
# kinds that the training set does not hold (calcium-rich transients, intermediate-luminosity optical transients and
# pair-instability supernovae), and mix them with the 202 known objects of the sample.

# %%
# !firstlight simulate CaRT ILOT PISN --number 20 --data sample/curves.csv.gz --metadata sample/metadata.csv.gz \
#     --out simulated

# %%
import numpy as np
import pandas as pd

from firstlight import LightCurves, Pipeline, Truth, read

known, rare = read("sample/curves.csv.gz", "sample/metadata.csv.gz"), read("simulated/curves.parquet")
curves = LightCurves.concatenate([known, rare])
kinds = np.array(
    [
        *Truth.read("sample/metadata.csv.gz").labels_of(known.object_id),
        *Truth.read("simulated/truth.parquet").labels_of(rare.object_id),
    ]
)
strange = np.isin(kinds, ["CaRT", "ILOT", "PISN"])
pipeline = Pipeline.load("sample/unseen")
predictions = pipeline.predict(curves)

# %% [markdown]
# ## What the classifier makes of them
#
# It has no class for them, so every answer is wrong, and some are confident:

# %%
top = pd.DataFrame({"kind": kinds, "answer": predictions.label, "probability": predictions.proba.max(axis=1)})
pd.crosstab(top.loc[strange, "kind"], top.loc[strange, "answer"])

# %% [markdown]
# ## What the anomaly score makes of them

# %%
from firstlight.report.style import new_figure

figure = new_figure(height=2.8, width=6.0)
panel = figure.subplots()
bins = np.linspace(0.0, 1.0, 26)
for name, these in (("known classes", ~strange), ("CaRT, ILOT, PISN", strange)):
    panel.hist(predictions.anomaly[these], bins, density=True, histtype="step", linewidth=1.5, label=name)
panel.set_xlabel("anomaly score")
panel.set_ylabel("density of objects")
panel.set_title("most unknown kinds score high, and some known objects do", loc="left")
panel.legend(loc="upper left")
figure

# %% [markdown]
# The score is a share: 0.9 means that it is stranger than 90 % of the training objects at the same phase. So one known object in
# ten lies above 0.9, and where strange objects are rare, the known ones are the majority of any list.
#
# ## The list

# %%
order = np.argsort(-predictions.anomaly)
first = order[:30]
table = top.loc[first].assign(object=predictions.object_id[first], anomaly=predictions.anomaly[first])
print(f"{strange[first].sum()} of the first 30 are strange; {30 * strange.mean():.0f} by chance")
table[["object", "anomaly", "answer", "probability", "kind"]].head(12).round(3)

# %% [markdown]
# The mixture here holds a quarter of strange objects. In a survey it is less than a hundredth, and the same score makes a
# list that is mostly known: photometric faults, rare phases of common classes, wrong redshifts of hosts. The measured purity at
# several rates is in [the anomaly score](../concepts/anomaly.md).
#
# ## Look at them
#
# Nothing replaces the look at the light curve. The one at the top:

# %%
curves[int(order[0])].plot(pipeline, window="detected", label=kinds[order[0]])
