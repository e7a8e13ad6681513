# %% [markdown]
# # Your survey in fifteen minutes
#
# **At the end** you will have adapted a bundle to another survey with ten labels per class, you will know its gain on objects
# that the trees have not seen, and you will have seen a table that is too good to be true. **Time**: fifteen minutes; the commands
# take about half a minute each here, and minutes with all of PLAsTiCC. **You need** the extra `train`.
#
# The shipped bundles learned from LSST's light curves. Your survey has other filters, depths and nights, and other kinds of objects are
# frequent in it. A training from your labels alone needs hundreds per class. `firstlight adapt` begins with ten: encoder and
# features stay, the training set of the bundle is observed again as your survey sees the sky, and your labels add trees.
#
# ## Light curves and labels
#
# You need a file of light curves in any [known format](../reference/files.md), and a table of labels. You have yours already. Here they are
# made: sixty objects of the sample, as the supernova programme of DES would have seen them, in griz about once a week.

# %%
import numpy as np
import pandas as pd

from firstlight import LightCurves, Truth, read, write_curves
from firstlight.reobserve import ReobserveConfig, reobserve

sample = read("sample/curves.csv.gz", "sample/metadata.csv.gz")
labels = pd.DataFrame({"object_id": sample.object_id})
labels["class"] = Truth.read("sample/metadata.csv.gz").labels_of(sample.object_id)
number = labels.groupby("class").cumcount()
is_mine = labels["class"].isin(["SNIa", "SNII", "TDE", "AGN", "RRL", "EB"]) & (number < 10)


def seen_by(survey, chosen):
    """Objects of the sample as a survey would have seen them."""
    curves = sample.take(chosen.to_numpy())
    return reobserve(curves, np.random.default_rng(0), ReobserveConfig(surveys={survey: 1.0}))


write_curves(seen_by("des", is_mine), "mine.parquet")
mine = labels[is_mine].replace({"SNIa": "SN Ia", "AGN": "QSO"})  # other spellings
mine.to_csv("labels.csv", index=False)
mine["class"].value_counts().to_frame().T

# %%
read("mine.parquet")[0].plot(label=mine["class"].iloc[0])

# %% [markdown]
# The training set of a bundle is PLAsTiCC's, from `firstlight fetch plasticc`; `adapt` takes it by itself. For this page, so that it
# takes seconds, the other 142 objects of the sample stand in for it:

# %%
write_curves(sample.take(~is_mine.to_numpy()), "others.parquet")
labels[~is_mine].to_csv("others.csv", index=False)

# %% [markdown]
# ## Adapt
#
# With your files this is `firstlight adapt --data mine.parquet --labels labels.csv --from default --out my-bundle`. Here the bundle of
# the tutorials is adapted, `--training` and `--training-labels` name the stand-in, and `--no-scratch` leaves out the comparison with a
# training from the labels alone, which takes longest:

# %%
# !firstlight adapt --data mine.parquet --labels labels.csv --from sample/unseen --training others.parquet \
#     --training-labels others.csv --no-scratch --jobs 1 --out my-bundle

# %% [markdown]
# The output begins with the labels whose spelling was translated; a label that is no class would be set aside and counted. Then comes the table. Each labelled
# object was tested once, by trees that had not seen it, and the weight of the training set and the class mix were
# chosen on other objects. *Unadapted* is the bundle as it was; the column beside it has the same bundle with the class frequencies of your labels,
# and nothing else from them. If *adapted* is not clearly better than that one, your labels are not worth their trees yet.
#
# With sixty objects the spread is wide: a difference smaller than the spread means nothing. More labels narrow it. The gain is
# also larger here than on a real sky, because the survey of this page and the copies of the training set are made by one program.
#
# The properties of the survey, measured from the light curves without labels, are in a file. Correct the values that you know better,
# and pass it with `--survey`:

# %%
# !head -n 8 my-bundle.survey.toml

# %% [markdown]
# `my-bundle` works in every command, such as `firstlight stream --bundle my-bundle`, and in Python:

# %%
from firstlight import Pipeline

predictions = Pipeline.load("my-bundle").predict(read("mine.parquet"))
predictions.to_pandas()[["object_id", "class", "anomaly", "domain"]].head(3).round(2)

# %% [markdown]
# The trees of the finished bundle have seen these objects. New ones get less certain answers.
#
# ## Where a class is nearly a source
#
# Labels are often collected: supernovae of one survey, nuclear transients of another. Here is such a set. Nine of
# ten objects of each class come from one survey:

# %%
homes = {"SNIa": "des", "EB": "des", "SNII": "ps1", "RRL": "ps1", "TDE": "ztf-forced", "AGN": "ztf-forced"}
next_of = {"des": "ps1", "ps1": "ztf-forced", "ztf-forced": "des"}
mixed = labels[is_mine].copy()
is_home = number[is_mine] < 9
mixed["source"] = mixed["class"].map(homes)
mixed["source"] = mixed["source"].where(is_home, mixed["source"].map(next_of))
parts = [seen_by(name, labels["object_id"].isin(own["object_id"])) for name, own in mixed.groupby("source")]
write_curves(LightCurves.concatenate(parts), "mixed.parquet")
mixed.to_csv("mixed.csv", index=False)
pd.crosstab(mixed["class"], mixed["source"])

# %% [markdown]
# The column `source` makes `adapt` measure each source as a survey of its own, and judge the result twice:

# %%
# !firstlight adapt --data mixed.parquet --labels mixed.csv --from sample/unseen --training others.parquet \
#     --training-labels others.csv --no-scratch --jobs 1 --out mixed-bundle

# %% [markdown]
# Look at the middle column, the bundle under the class mix of the labels. In the first table it is as good as any. In the second, which is of the
# same objects with the mix of the *other* sources, it is far worse: griz once a week is an SN Ia or an eclipsing binary here, and something
# else on the next survey. Trees learn the same mistake. So with a column `source`, `adapt` gives every class the same weight within each
# source's view, keeps the calibration and the class mix of the bundle, and judges by the second table. Without the column `source`, nothing
# would have shown this.
#
# Where a source is a class, little is left that a label can teach. Here `adapt` kept the trees of the bundle as they were ("the labels train
# nothing"), and reported at the end that there is no gain. Labels from the other side help: some SNe Ia from the survey of AGN, some
# AGN from the survey of SNe Ia.
#
# ## For real
#
# - Give the column `source` whenever labels come from more than one survey, catalogue or programme. Three sources or more are needed for the second
#   table.
# - Labels that were chosen by brightness teach brightness. Test on objects chosen like those that you will classify.
# - For classes that firstlight does not know, list all of yours in a file for `--classes`
#   ([your own survey](../how-to/own-survey.md)).
# - With thousands of labels, compare with a training of your own: leave out `--no-scratch`, or go on with
#   [training on labels of your own](train_on_your_own.md).
