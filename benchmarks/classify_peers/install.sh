#!/bin/sh
# The peers of classify.py, each in a virtual environment of its own: install.sh DIR [PYTHON]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for peer in litserve bentoml; do
    "${2:-python3}" -m venv "$1/$peer"
    # The lists are whole, so nothing is resolved. BentoML asks for a certifi one day newer than ours, which no request here needs.
    "$1/$peer/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$here/$peer.txt"
done
