# %% [markdown]
# # Strange objects
#
# **At the end** you will have a list of the most unusual objects of a survey, you will know how often such a list is right, and you
# will have taught it your own interest, with thirty verdicts. **Time**: fifteen minutes.
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
# ## The answers of the classifier
#
# It has no class for them, so every answer is wrong, and some are confident:

# %%
top = pd.DataFrame({"kind": kinds, "answer": predictions.label, "probability": predictions.proba.max(axis=1)})
pd.crosstab(top.loc[strange, "kind"], top.loc[strange, "answer"])

# %% [markdown]
# ## The anomaly scores

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
# Nothing replaces the look at the light curve. The first of the list that is strange:

# %%
one = int(order[strange[order]][0])
curves[one].plot(pipeline, window="detected", label=kinds[one])

# %% [markdown]
# ## Say what is interesting
#
# "Strange" is not yet "interesting", and only you know the difference. Suppose that you look for pair-instability supernovae; anything
# else is dull. `firstlight anomalies` lists candidates, and learns from your verdicts. Here are the first ten:

# %%
from firstlight import write_curves

write_curves(curves, "survey.parquet")

# %%
# !firstlight anomalies survey.parquet --bundle sample/unseen --number 10 --out first.csv

# %% [markdown]
# Look at each, and write down a verdict. The file has one JSON object per line, with `object`, `verdict` (`interesting` or
# `not_interesting`) and `time`; the option `--mark OBJECT=interesting` and the live page (`firstlight serve`) write it for
# you. In this lesson the truth plays your part:

# %%
import json

kind_of = dict(zip(curves.object_id.tolist(), kinds.tolist()))


def judge(names):
    """Append a verdict for each object; returns the number of interesting ones."""
    with open("verdicts.jsonl", "a") as file:
        for name in names:
            verdict = "interesting" if kind_of[name] == "PISN" else "not_interesting"
            file.write(
                json.dumps({"object": name, "verdict": verdict, "time": "2026-11-27T20:00:00+00:00"}) + "\n"
            )
    return sum(kind_of[name] == "PISN" for name in names)


ranked = pd.read_csv("first.csv", dtype={"object": str})["object"]
without = [sum(kind_of[name] == "PISN" for name in ranked[k : k + 10]) for k in (0, 10, 20)]
found = [judge(ranked[:10])]

# %% [markdown]
# Now the list with the ten verdicts, and then with twenty:

# %%
# !firstlight anomalies survey.parquet --bundle sample/unseen --feedback verdicts.jsonl --number 10 --out second.csv

# %%
found.append(judge(pd.read_csv("second.csv", dtype={"object": str})["object"][:10]))

# %%
# !firstlight anomalies survey.parquet --bundle sample/unseen --feedback verdicts.jsonl --number 3 --out third.csv

# %%
found.append(judge(pd.read_csv("third.csv", dtype={"object": str})["object"][:10]))
pd.DataFrame({"score alone": without, "with verdicts": found}, index=["first ten", "second ten", "third ten"])

# %% [markdown]
# With verdicts, thirty looks find most of the twenty pair-instability supernovae; without, less than half. *Interest* is the
# new order: objects that resemble interesting ones rise, those that resemble dull ones sink.
#
# Feedback needs at least one interesting object. Try it with `CaRT` in place of `PISN`: the score finds none among the first thirty, so every verdict is
# "not interesting", and nothing is learnt of your interest. Then give it an example that you know, with `--mark`.
