# Workers: Ray Serve, training; an environment without Rust. `docker build --file deploy/docker/worker.Dockerfile .`
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

WORKDIR /app
COPY deploy/locks/workers.lock deploy/locks/workers.lock
RUN python -m pip install --no-cache-dir --no-deps --requirement deploy/locks/workers.lock
COPY pyproject.toml README.md ./
COPY cohortlens cohortlens
COPY workers workers
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .

USER 10001:10001
ENV COHORTLENS_ENV=production PYTHONUNBUFFERED=1 RAY_AUTH_MODE=token
# Healthy while a replica of this deployment is registered, so calls can reach it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
  CMD ["python", "-c", "import os, redis; raise SystemExit(not redis.from_url(os.environ['COHORTLENS_REDIS_URL']).keys('cl:replica:prediction:*'))"]
ENTRYPOINT ["python", "-m", "workers"]
