# %% [markdown]
# # My light curves
#
# **At the end** you will have the class probabilities of a light curve of your own, and a picture of them night by
# night. **Time**: ten minutes. **You need** firstlight ([install](../install.md)) and nothing else.
#
# The example is one supernova, in five files as five sources would give it. Put your own file in its place.

# %% [markdown]
# ## One command
#
# firstlight recognises a file by its content. This one is a table of Rubin's DiaSources:

# %%
# !firstlight classify sample/files/DiaSource.parquet --bundle sample/unseen --out rubin.csv

# %% [markdown]
# Read the first line: it names the columns that were used, and the meaning of each. Check it once for each new kind of file.
#
# `--bundle sample/unseen` chooses the model ("bundle") of this tutorial. It was trained without this supernova, so its
# answer is an answer for a new object. The bundles that ship with firstlight are more accurate, but they know the supernova:
# it is from their training set. For your own data leave `--bundle` out.
#
# The result is a table with one row per object:

# %%
import pandas as pd

table = pd.read_csv("rubin.csv")
table[["object_id", "status", "class", "proba_SNIa", "proba_SNII", "proba_TDE", "n_obs", "phase"]]

# %% [markdown]
# `n_obs` is the number of observations that were used, and `phase` the days from the first detection to the last observation.
# The supernova is of type Ia, and the answer is right.
#
# ## Five formats
#
# The same supernova as a table of SNANA, as a table of sncosmo, and as magnitudes with upper limits:

# %%
# !firstlight classify sample/files/LSST_90429960.DAT --bundle sample/unseen --out snana.csv
# !firstlight classify sample/files/supernova.ecsv --bundle sample/unseen --out sncosmo.csv
# !firstlight classify sample/files/magnitudes.csv --bundle sample/unseen --out magnitudes.csv

# %% [markdown]
# The fifth is a table with column names of its own:

# %%
# !head -n 3 sample/files/mine.csv

# %% [markdown]
# firstlight does not guess that `source` is the name of the object or that `f_uJy` is a flux in microjansky. State it: the
# zero point of the fluxes is 23.9 for microjansky, 31.4 for nanojansky and 27.5 for SNANA:

# %%
# !firstlight classify sample/files/mine.csv --bundle sample/unseen --out mine.csv --zero-point 23.9 \
# --columns object_id=source,mjd=obsmjd,filter=passband,flux=f_uJy,flux_err=df_uJy

# %% [markdown]
# **A wrong unit is a wrong answer.** Nothing in a table of numbers shows whether it is in nanojansky or microjansky. Where a file
# states no unit, firstlight takes nanojansky, and refuses fluxes that are too faint for it.
#
# ## The content of each file
#
# The five answers differ, because the five files contain different information:

# %%
names = ["rubin", "snana", "sncosmo", "magnitudes", "mine"]
answers = pd.concat([pd.read_csv(f"{name}.csv") for name in names])
answers.insert(0, "file", names)
answers[["file", "class", "proba_SNIa", "proba_SNII", "anomaly", "n_obs"]]

# %% [markdown]
# - The Rubin table holds detections only, without a redshift. The observations before the explosion, which show that nothing was
#   there, are missing. E(B-V) comes from a map of the Milky Way, by position.
# - SNANA's file has everything: forced photometry, the detection flags of the survey, E(B-V) and the redshift of the host.
# - sncosmo's has no detection flags, so a detection is an observation with a flux of more than five times its error.
# - The magnitudes are those of the detections; limits are left out, since a limit is no measurement.
# - The own table has no redshift, no position and no E(B-V).
#
# More is better: give forced photometry, a redshift of the host (photometric is fine) and E(B-V) if you have them, in
# columns of the same table or in a second table with one row per object (`--metadata`). [All formats and
# rules](../reference/files.md).
#
# ## In Python
#
# `read` takes the same files, and `predict` the light curves:

# %%
from firstlight import Pipeline, read

pipeline = Pipeline.load("sample/unseen")  # Pipeline.load() for the bundle that ships with firstlight
curves = read("sample/files/LSST_90429960.DAT")
curves

# %%
pipeline.predict(curves)

# %% [markdown]
# A DataFrame works as well, with the columns `object_id`, `mjd`, `band`, `flux` and `flux_err` in nanojansky, and those
# of the object that you have (`ra`, `dec`, `ebv`, `redshift`, `redshift_err`):

# %%
mine = pd.read_csv("sample/files/mine.csv")
mine = pd.DataFrame(
    {
        "object_id": mine["source"],
        "mjd": mine["obsmjd"],
        "band": mine["passband"].str.removeprefix("LSST_"),
        "flux": 1000.0 * mine["f_uJy"],
        "flux_err": 1000.0 * mine["df_uJy"],
        "redshift": 0.183,
        "redshift_err": 0.013,
        "ebv": 0.063,
    }
)
pipeline.predict(mine).to_pandas()[["class", "proba_SNIa", "proba_SNII"]]

# %% [markdown]
# With redshift and dust, the own table gives nearly the answer of SNANA's file.
#
# ## Night by night
#
# `plot` draws the light curve, and below it the class probabilities that firstlight would have given after each night:

# %%
curves["90429960"].plot(pipeline, window=(-20, 100), label="SNIa")

# %% [markdown]
# After the first detection, one point in i, a supernova of type Ia is the best guess, not much above its share of the training
# set. After a second point, in y, a tidal disruption event is ahead. The first observation in u settles it. Early answers are
# guesses with honest odds: [how far to trust them](early_answers.md).
#
# In a terminal: `firstlight plot 90429960 --data sample/files/LSST_90429960.DAT --days=-20,100`.
#
# ## Before you use an answer
#
# - `status` is `not_classified` where there is too little data; the probabilities are then those of the training set's mix.
# - `anomaly` runs from 0 to 1. Many objects above 0.95 mean that the file is unlike the training set: check units,
#   bands and survey.
# - The bundles were trained on simulated LSST light curves. On another survey they are less accurate: [train on your
#   own labels](train_on_your_own.md) and measure it.
