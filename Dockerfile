# Two images from one file: `service` (no torch) and `worker`. Built by docker compose; deploy/README.md says how to run them.
ARG PYTHON=python:3.12-slim-bookworm

# ---- What every image starts from: our user and its folders. ----------------------------------------------------------------
FROM ${PYTHON} AS base
ENV PATH=/opt/noisegate/bin:$PATH
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin noisegate \
 && install --directory --owner=noisegate --group=noisegate --mode=0750 /data

# ---- Dependencies first, what changes least before all: code that changes costs none of this. ------------------------------
FROM base AS empty
RUN python -m venv /opt/noisegate
WORKDIR /build
COPY constraints.txt ./

FROM empty AS torch
ARG PIP_INDEX_URL=""
# An index with the variant of PyTorch that is wanted (CPU alone, or another CUDA), beside the package index: of one version
# pip takes the build with a local label (2.15.0+cpu). Empty: what the package index has, which on Linux x86-64 is the CUDA
# build; it is larger, and runs on CPUs too.
ARG TORCH_INDEX=""
RUN --mount=type=cache,target=/root/.cache/pip \
    env ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
    pip install --disable-pip-version-check --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch torchvision

FROM torch AS worker-dependencies
ARG PIP_INDEX_URL=""
COPY pyproject.toml ./
# pip reads the extras of a package, so it gets one with nothing in it; the real one replaces it below.
RUN --mount=type=cache,target=/root/.cache/pip \
    mkdir noisegate && echo '__version__ = "0"' > noisegate/__init__.py && touch README.md && \
    env ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
    pip install --disable-pip-version-check --constraint constraints.txt ".[worker,s3,otel]"

FROM empty AS service-dependencies
ARG PIP_INDEX_URL=""
COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/pip \
    mkdir noisegate && echo '__version__ = "0"' > noisegate/__init__.py && touch README.md && \
    env ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
    pip install --disable-pip-version-check --no-compile --constraint constraints.txt ".[service,client,jpeg,s3,otel]"
# Half of all, which nothing here runs: debug symbols, onnxruntime's library for C, what botocore knows of other services than
# S3, the larger part of SciPy (the service takes special functions and filters), libraries' own tests, pip. What is patched by
# auditwheel (*.libs) must not be stripped.
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN cd /opt/noisegate/lib/python3*/site-packages \
 && find . -name '*.so' ! -path '*.libs/*' -exec strip --strip-debug {} + \
 && find . -type d -name tests -prune -exec rm -r {} + \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name 'sso*' ! -name sts ! -name signin -exec rm -r {} + \
 && (cd scipy && rm -r cluster datasets fft fftpack integrate interpolate io odr optimize signal sparse spatial stats) \
 && rm -r onnxruntime/capi/libonnxruntime.so* pip pip-*
# What is imported is compiled (a quarter of all there is), and that it can be imported is seen at once.
COPY deploy/imports.py /build/
RUN python /build/imports.py

# ---- The guide: docs/ as pages, with the reference of the service as it is in this image. -----------------------------------
FROM service-dependencies AS openapi
COPY noisegate noisegate
COPY service service
COPY migrations migrations
RUN python -c "import json; from noisegate.store.settings import Settings; from service.app import create_app; \
    print(json.dumps(create_app(Settings()).openapi()))" > openapi.json

FROM empty AS guide
ARG PIP_INDEX_URL=""
RUN --mount=type=cache,target=/root/.cache/pip \
    env ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
    pip install --disable-pip-version-check --constraint constraints.txt sphinx myst-parser myst-nb
COPY . .
COPY --from=openapi /build/openapi.json ./
RUN python scripts/build_guide.py --openapi openapi.json --to /guide

# ---- Our code, as a wheel. --------------------------------------------------------------------------------------------------
FROM empty AS code
ARG PIP_INDEX_URL=""
RUN --mount=type=cache,target=/root/.cache/pip \
    env ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
    pip install --disable-pip-version-check "setuptools>=77"
COPY pyproject.toml README.md ./
COPY noisegate noisegate
COPY service service
COPY worker worker
COPY migrations migrations
COPY --from=guide /guide service/guide/built
RUN pip wheel --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheels .

# ---- What runs. -------------------------------------------------------------------------------------------------------------
FROM base AS runtime
# The root file system is read-only under compose: what must be written goes to /tmp or to the volume /data.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib TORCH_HOME=/data/torch \
    NOISEGATE_DATA_DIR=/data
WORKDIR /tmp

FROM runtime AS service
COPY --from=service-dependencies /opt/noisegate /opt/noisegate
RUN --mount=type=bind,from=code,source=/wheels,target=/wheels \
    /usr/local/bin/python -m pip --python /opt/noisegate/bin/python install \
    --disable-pip-version-check --no-cache-dir --no-deps --force-reinstall /wheels/*.whl
# Large images come and go: with glibc's arena for each thread, and thresholds that grow with what was freed, some 50 MiB of
# them would never be given back (tests/inference/test_decoder_fuzz.py runs with the same).
ENV NOISEGATE_HOST=0.0.0.0 NOISEGATE_PORT=8000 MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
USER 10001:10001
EXPOSE 8000
# Database, broker and default model; urlopen raises, and Python exits with 1, at 503. A missing worker or first model is well.
HEALTHCHECK --interval=10s --timeout=8s --start-period=90s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['NOISEGATE_PORT'] + '/readyz', timeout=7)"]
CMD ["python", "-m", "service.main"]

FROM runtime AS worker
COPY --from=worker-dependencies /opt/noisegate /opt/noisegate
RUN --mount=type=bind,from=code,source=/wheels,target=/wheels \
    /usr/local/bin/python -m pip --python /opt/noisegate/bin/python install \
    --disable-pip-version-check --no-cache-dir --no-deps --force-reinstall /wheels/*.whl
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=8s --start-period=120s --start-interval=3s --retries=3 CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "worker.main"]
