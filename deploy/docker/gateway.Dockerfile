# Gateway and jobs: the main environment. `docker build --file deploy/docker/gateway.Dockerfile .`
# The base is given by digest at build time, so that an image can be rebuilt bit for bit.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

WORKDIR /app
COPY deploy/locks/main.lock deploy/locks/otel.lock deploy/locks/
# `--build-arg LOCKS="main otel"`: also what sends spans to a collector.
ARG LOCKS="main"
RUN for lock in ${LOCKS}; do python -m pip install --no-cache-dir --no-deps --requirement deploy/locks/$lock.lock || exit 1; done
COPY pyproject.toml README.md ./
COPY cohortlens cohortlens
COPY gateway gateway
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .

USER 10001:10001
ENV COHORTLENS_ENV=production COHORTLENS_BIND=0.0.0.0 PYTHONUNBUFFERED=1
EXPOSE 8080 50051
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
# The jobs process runs from the same image: command `python -m cohortlens.jobs`.
ENTRYPOINT ["python", "-m"]
CMD ["gateway"]
