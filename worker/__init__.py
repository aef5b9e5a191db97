"""The Celery process: claims rows, trains, ingests, records. The only place where the store and learning meet."""

import os

# One thread a process: processes share the work better than threads do. Here, as libraries of linear algebra look when they are
# loaded, and what is forked later has them from its parent. Set to nothing is not set: the libraries would take all cores.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or "1"
