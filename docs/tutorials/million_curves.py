# %% [markdown]
# # A million curves
#
# **At the end** you will have a program that classifies an archive of any size on one computer, part by part, and resumes after an
# interruption, and you will know how long a million light curves take on yours. **Time**: ten minutes to
# read; [Speed](../performance.md) has the time of a million light curves on two cores.
#
# ## The archive
#
# Archives come as folders of Parquet files, with a few hundred thousand light curves each. For the example we make a small
# one: eight parts with the light curves of the sample, each part under other names.

# %%
from pathlib import Path

import numpy as np

from firstlight import Pipeline, read, read_predictions, write_curves, write_predictions

sample = read("sample/curves.csv.gz", "sample/metadata.csv.gz")
archive, answers = Path("archive"), Path("answers")
for folder in (archive, answers):
    folder.mkdir(exist_ok=True)
for part in range(8):
    names = np.char.add(f"{part}-", sample.object_id)
    write_curves(sample.with_columns(object_id=names), archive / f"part-{part}.parquet")
sorted(path.name for path in archive.iterdir())

# %% [markdown]
# `write_curves` writes firstlight's own Parquet. It opens without copying, so it is worth converting an archive that you will read
# more than once: `firstlight convert ARCHIVE archive.parquet`.
#
# ## Part by part
#
# The loop reads one part, classifies it and writes the answers. A part that has answers is skipped, so after an interruption the same
# program resumes. `write_predictions` writes a file as a whole or not at all: a partial file is never taken for a complete one.

# %%
import time

pipeline = Pipeline.load("sample/unseen")
seconds, objects = 0.0, 0
for part in sorted(archive.glob("*.parquet")):
    out = answers / part.name
    if out.exists():
        continue
    start = time.perf_counter()
    curves = read(part)
    write_predictions(pipeline.predict(curves, jobs=1), out)
    seconds, objects = seconds + time.perf_counter() - start, objects + len(curves)

print(
    f"{objects:,} light curves, {sum(read_predictions(path).n_obs.sum() for path in answers.iterdir()):,} observations"
)

# %% [markdown]
# `jobs` is the number of threads; leave it out for one per core. Memory is that of one part: about 30 bytes per observation
# for the light curves, and as much again while they are classified.
#
# How long would a million take here? It depends on the number of observations and on the load of the computer, so measure it
# on your own:

# %%
print(f"a million such light curves: {seconds / objects * 1e6 / 3600:.1f} hours on this core, now")

# %% [markdown]
# ## In the terminal
#
# The same for one file or a folder of parts:

# %%
# !firstlight classify archive --bundle sample/unseen --jobs 1 --out all.parquet

# %% [markdown]
# ## What is in it?

# %%
predictions = read_predictions("all.parquet")
predictions.plot()

# %% [markdown]
# That is the number of objects per most probable class. Such counts are biased: the probabilities of rare classes add up, though no
# single object passes. The expected number of each class is the sum of its probabilities:

# %%
import pandas as pd

counts = pd.DataFrame(
    {
        "most probable": [(predictions.label == name).sum() for name in predictions.classes],
        "sum of probabilities": predictions.proba.sum(axis=0).round(0),
    },
    index=predictions.classes,
)
counts[counts["sum of probabilities"] > 0].T

# %% [markdown]
# ## Larger still
#
# - **Without a loop**: `firstlight batch archive --out answers` does the same in several processes, within a bound of memory, and
#   resumes after an interruption ([how to](../how-to/archive.md)).
# - **HATS catalogs, LSDB and Dask**: the same command, or `catalog.map_partitions(FrameClassifier("fast"))`.
# - **Spark**: the same function in a `pandas_udf` ([how to](../how-to/spark.md)).
# - **Cheaper**: the bundle `fast` needs less time per light curve; `Pipeline.load("fast")`.
# - **First the interesting ones**: the answers are Parquet, so any tool can select from them, for instance `anomaly > 0.99`.
