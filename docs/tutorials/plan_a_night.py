# %% [markdown]
# # Plan a night
#
# **At the end** you will have a list of targets for your telescope tonight, with times, exposure lengths and a reason for each,
# and a picture of the night. **Time**: ten minutes. **You need** the extra `stream`.
#
# Thousands of objects change every night, and your spectrograph has four hours. Which ones? That depends on your science,
# on how sure the classification is already, and on the sky above your telescope.
#
# ## Classifications up to this evening
#
# `rank` reads the results of `firstlight stream`. We make them as in [a night of alerts](night_of_alerts.md): nineteen days in
# March 2024.

# %%
# !firstlight replay --data sample/curves.csv.gz --metadata sample/metadata.csv.gz --detections-only \
#     --from-mjd 60360 --to-mjd 60379 --sink alerts.avro
# !firstlight stream --source alerts.avro --sink results.jsonl --state state --bundle sample/unseen --until-end

# %% [markdown]
# ## What do you want?
#
# `--want` names a class and the worth of its spectrum to you, from 0 to 1. A kilonova is worth everything, a tidal disruption
# event half of that. `--novelty` is the worth of something that looks like no known class. The telescope reaches magnitude 22 in
# one hour:

# %%
# !firstlight rank results.jsonl --want KN --want TDE=0.5 --novelty 0.1 --site rubin --hours 4 --limit-mag 22 --show 2 \
#     --out targets.csv --plot night.svg

# %% [markdown]
# The night is the first after the last record. Each target has its reasons in words: its likely class, how bright it was and
# will be, how long it is up, and where the Moon is. Targets that do not fit into the hours come last, with the reason.
#
# Read the reasons before you trust a list. A magnitude "expected" tonight is a straight line through the last points of a filter.
# That is wrong for a star that pulsates, and doubtful where the points are few, as here: the kilonova of the first line
# fades. Its fluxes are in the picture of the [previous lesson](night_of_alerts.md).
#
# ## The table
#
# The file has all targets, chosen or not:

# %%
import pandas as pd

targets = pd.read_csv("targets.csv", dtype={"object": str})
targets[["rank", "object", "fate", "worth", "start", "hours", "class", "mag", "band"]].head(5).round(3)

# %% [markdown]
# ## The picture of the night
#
# `--plot` has written it to `night.svg`. In Python, with a table of your own wishes:

# %%
from firstlight.followup.night import find_site
from firstlight.followup.schedule import ScheduleConfig
from firstlight.followup.utility import FollowupConfig
from firstlight.stream.results.rank import next_evening, rank_targets
from firstlight.stream.results.read import read_results

results = read_results("results.jsonl")
site = find_site("rubin")
wishes = FollowupConfig(wanted=("KN", "TDE"), weights=(1.0, 0.5), novelty=0.1, limit_mag=22.0)
telescope = ScheduleConfig(hours=4.0, limit_mag=22.0)
ranking = rank_targets(results, site, next_evening(results, site), followup=wishes, telescope=telescope)
ranking.plot()

# %% [markdown]
# On the left the airmass of each target through the dark hours; the thick part is its observation, grey targets are left out.
# Hours with the Moon up would be shaded. On the right is the worth of each target tonight.
#
# ## Your telescope
#
# - `--site` takes any observatory of astropy's list (`paranal`, `gemini_north`) or `LON,LAT,HEIGHT`.
# - `--limit-mag`, `--hours-at-limit` and `--overhead` are those of your spectrograph. Exposure times scale from there.
# - `--airmass`, `--moon` and `--max-age` exclude targets.
# - A spectrum can also be worth its time because it teaches the classifier: the record's field `followup` measures that.
#
# The program knows neither the weather nor the targets that your colleagues observe already.
