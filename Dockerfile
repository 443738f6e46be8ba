# One image for learner, predictor and tools, without data sets and without pictures (BuildKit,
# which Docker 23 and newer build with). docs/deploy.md says how to run it.
#   docker build -t si-stream .                                   (CPU)
#   docker build -t si-stream --build-arg TORCH_BACKEND=cu130 .   (a CUDA build of PyTorch)
#   docker build -t si-stream --build-arg EXTRAS=simulators .     (with `si-stream simulate` and `demo`)
#   docker run --read-only --tmpfs /tmp -v si-stream:/data -p 127.0.0.1:8080:8080 \
#     -e SI_STREAM_PRESET=split-mnist si-stream
# A tag may be moved; to pin what it is: --build-arg BASE=python@sha256:… (docker buildx imagetools
# inspect python:3.12.12-slim-trixie).
ARG BASE=python:3.12.12-slim-trixie

# What changes seldom and weighs much: PyTorch and the others, at the versions of constraints.txt.
FROM ${BASE} AS dependencies
ARG TORCH_BACKEND=cpu
ARG EXTRAS=
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
WORKDIR /source
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt uv && python -m venv --without-pip /opt/si-stream
COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --python /opt/si-stream/bin/python --constraints constraints.txt \
      ${TORCH_BACKEND:+--torch-backend "$TORCH_BACKEND"} ${EXTRAS:+--extra "$EXTRAS"} \
      --requirements pyproject.toml

FROM dependencies AS package
COPY README.md LICENSE ./
COPY si_stream si_stream
COPY services services
COPY simulators simulators
RUN --mount=type=cache,target=/root/.cache/uv \
    uv build --wheel --build-constraints constraints.txt --out-dir /dist

FROM ${BASE}
ARG TORCH_BACKEND=cpu
# The kernel spares a container's first process what signals do by default; tini passes them on.
# On a GPU the update is compiled at the start, for which Triton asks a C compiler.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends tini && \
    if [ "$TORCH_BACKEND" != cpu ]; then \
      apt-get install --yes --no-install-recommends gcc libc6-dev; \
    fi && \
    rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp si-stream && \
    install --directory --owner si-stream --group si-stream /data
COPY --from=dependencies /opt/si-stream /opt/si-stream
# A layer of its own, and a small one: a new version of ours moves a few MB.
RUN --mount=type=bind,from=package,source=/dist,target=/dist \
    --mount=type=bind,from=package,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    uv pip install --python /opt/si-stream/bin/python --offline --no-cache --no-deps \
      --compile-bytecode /dist/*.whl
USER 10001:10001
WORKDIR /data
VOLUME /data
# Nothing is written but to /data and /tmp, where compiled code is kept: the root may be read-only.
ENV PATH=/opt/si-stream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    SI_STREAM_DIRECTORY=/data \
    SI_STREAM_LEARNER__METRICS_HOST=0.0.0.0 \
    SI_STREAM_PREDICTOR__HOST=0.0.0.0
EXPOSE 8080 9101
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "si-stream"]
CMD ["serve"]
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s \
  CMD ["si-stream", "health"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="SI Stream" \
      org.opencontainers.image.description="Learns a classifier from a stream whose tasks change, without forgetting the old ones." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
