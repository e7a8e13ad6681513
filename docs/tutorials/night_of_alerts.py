# %% [markdown]
# # A night of alerts
#
# **At the end** you will have turned a stream of survey alerts into a stream of classifications, stopped it in the middle and
# resumed it, and looked at the kilonova candidates of a night. **Time**: ten minutes. **You need** the extra `stream`.
#
# A survey sends an *alert* for each detection of a change on the sky: a packet with the new measurement and the recent
# history of the object. A broker such as Fink, ALeRCE or Lasair passes the packets on, over Kafka. firstlight reads them from
# Kafka or from files.
#
# ## Alerts
#
# Real alerts need an account at a broker. `firstlight replay` makes a stream out of light curves instead: the same
# packets, in order of time. Here are the detections of nineteen days in March 2024 of the sample's objects:

# %%
# !firstlight replay --data sample/curves.csv.gz --metadata sample/metadata.csv.gz --detections-only \
#     --from-mjd 60360 --to-mjd 60379 --sink alerts.avro

# %% [markdown]
# ## The stream
#
# `stream` needs a source, a sink, and a folder for its state: the light curves and the positions that it must remember.
# `--until-end` ends it with the file; with Kafka it runs on. First we let it stop after 60 alerts, as if the computer had
# gone down:

# %%
# !firstlight stream --source alerts.avro --sink results.jsonl --state state --bundle sample/unseen --max-alerts 60

# %% [markdown]
# The same command again resumes where it stopped. No alert is lost and none is counted twice:

# %%
# !firstlight stream --source alerts.avro --sink results.jsonl --state state --bundle sample/unseen --until-end
# !wc -l results.jsonl

# %% [markdown]
# On a real night leave out `--bundle`, or take `--bundle fast`: it needs a constant time per alert, and one core keeps
# up with LSST's rate several times over ([performance](../performance.md)).
#
# ## One record per alert
#
# Each line of the output is a JSON record:

# %%
import json
from pathlib import Path

records = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
{name: value for name, value in records[-1].items() if name not in ("proba", "coarse")}

# %% [markdown]
# - `label` is the most probable class, `proba` has all of them, `coarse` the groups.
# - `change` is how much the probabilities moved since the last alert of this object, `followup` how much a spectrum would
#   teach tonight, `anomaly` how unusual the object is.
# - `mag`, `slope` and `peak_mag` are its brightness, its trend, and its brightness at the peak.
#
# [All fields](../how-to/stream.md).
#
# ## What is new tonight?
#
# The last record of each object, and of these the ones that were found in the last ten days. Which may be kilonovae or tidal
# disruption events?

# %%
import pandas as pd

table = pd.json_normalize(records).sort_values("mjd").drop_duplicates("object", keep="last")
young = table[(table["phase"] < 10) & (table["status"] == "classified")]
columns = [
    "object",
    "label",
    "proba.KN",
    "proba.TDE",
    "coarse.SN-like",
    "phase",
    "n_obs",
    "mag",
    "band",
    "slope",
]
young[columns].sort_values("proba.KN", ascending=False).head(8).round(2)

# %% [markdown]
# One candidate stands out. Here is its light curve up to now, and the answers night by night:

# %%
from firstlight import Pipeline, Truth, read

curves = read("sample/curves.csv.gz", "sample/metadata.csv.gz")
candidate = young.sort_values("proba.KN")["object"].iloc[-1]
now = curves.upto_mjd(60379.0)[candidate]
pipeline = Pipeline.load("sample/unseen")
now.plot(pipeline, window="detected")

# %% [markdown]
# On the first night a kilonova was the best of several guesses; then a supernova of type II was ahead. The fast decline settles it. Did
# it turn out to be one? The sample knows:

# %%
print(Truth.read("sample/metadata.csv.gz").labels_of([candidate])[0])

# %% [markdown]
# ## Stream and file agree
#
# The stream saw each object alert by alert. `classify` reads the same file of alerts at once, as light curves:

# %%
# !firstlight classify alerts.avro --bundle sample/unseen --out batch.csv

# %%
batch = pd.read_csv("batch.csv", dtype={"object_id": str}).set_index("object_id")
stream = table.set_index("object")
print(f"largest difference: {(stream['proba.KN'] - batch['proba_KN']).abs().max():.6f}")

# %% [markdown]
# The answers are the same to the last digit that is written, also when alerts come late, twice or out of order: [why it
# matters](../concepts/parity.md). What to observe next is [another lesson](plan_a_night.md).
