# The web3 sidecar: the main environment, JSON-LD contexts and anvil of npm. `docker build --file deploy/docker/web3.Dockerfile .`
# Both bases are given by digest at build time, so that an image can be rebuilt bit for bit.
ARG BASE=python:3.11-slim-bookworm
ARG NODE_BASE=node:22-bookworm-slim
FROM ${NODE_BASE} AS packages
WORKDIR /packages
COPY deploy/node/package.json deploy/node/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM ${BASE}
WORKDIR /app
COPY deploy/locks/main.lock deploy/locks/otel.lock deploy/locks/
# `--build-arg LOCKS="main otel"`: also what sends spans to a collector.
ARG LOCKS="main"
RUN for lock in ${LOCKS}; do python -m pip install --no-cache-dir --no-deps --requirement deploy/locks/$lock.lock || exit 1; done
COPY pyproject.toml README.md ./
COPY cohortlens cohortlens
COPY sidecars sidecars
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .
COPY --from=packages /packages/node_modules node_modules

RUN mkdir /data && chown 10001:10001 /data && chmod 0700 /data
USER 10001:10001
ENV COHORTLENS_ENV=production COHORTLENS_WEB3_LISTEN=0.0.0.0:50071 COHORTLENS_WEB3_DATA=/data \
  COHORTLENS_WEB3_NODE_MODULES=/app/node_modules PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 50071
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9467/livez', timeout=2)"]
# Give COHORTLENS_WEB3_TOKEN, _DSN and _KEK; a chain of its own needs one container, remote chains allow several.
ENTRYPOINT ["python", "-m", "sidecars.web3"]
