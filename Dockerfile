# One image for the learner and the predictor, without data sets and without pictures.
#   docker build -t si-stream .                                   (CPU)
#   docker build -t si-stream --build-arg TORCH_BACKEND=cu130 .   (a CUDA build of PyTorch)
#   docker build -t si-stream --build-arg EXTRAS=simulators .     (with `si-stream simulate` and `demo`)
#   docker run -e SI_STREAM_PRESET=split-mnist -v si-stream:/data -p 8080:8080 si-stream
FROM python:3.12-slim AS build
ARG TORCH_BACKEND=cpu
ARG EXTRAS=
WORKDIR /source
COPY constraints.txt .
RUN pip install --no-cache-dir --constraint constraints.txt uv && python -m venv /opt/si-stream
COPY . .
RUN uv pip install --python /opt/si-stream/bin/python --no-cache --compile-bytecode \
      --constraints constraints.txt --build-constraints constraints.txt \
      --torch-backend "$TORCH_BACKEND" ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.12-slim
# The kernel spares a container's first process what signals do by default; tini passes them on.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 si-stream && install --directory --owner si-stream /data
COPY --from=build /opt/si-stream /opt/si-stream
USER si-stream
WORKDIR /data
VOLUME /data
ENV PATH=/opt/si-stream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SI_STREAM_DIRECTORY=/data \
    SI_STREAM_LEARNER__METRICS_HOST=0.0.0.0 \
    SI_STREAM_PREDICTOR__HOST=0.0.0.0
EXPOSE 8080 9101
ENTRYPOINT ["tini", "--", "si-stream"]
CMD ["serve"]
