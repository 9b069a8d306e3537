# One image for all our services in docker-compose.yml. It has no compiler, no pip and no shell
# user, and runs on a read-only file system: only MARKET_PIPELINE_HOME and /tmp are written to.

FROM node:24.18.0-bookworm AS page
WORKDIR /build
COPY Makefile ./
COPY market_pipeline/api/page/package.json market_pipeline/api/page/package-lock.json market_pipeline/api/page/
RUN make page

FROM python:3.12.13-slim-trixie AS builder
WORKDIR /build
ENV PIP_CONSTRAINT=/build/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PYTHON=/opt/venv/bin/python
RUN python -m venv --without-pip /opt/venv
# What we ask for changes more seldom than our code: a layer of its own.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; asked = tomllib.load(open("pyproject.toml", "rb"))["project"]; extras = asked["optional-dependencies"]; print(*asked["dependencies"], *extras["kite"], *extras["fyers"], sep="\n")' > requirements.txt \
    && pip install -r requirements.txt \
    && pip install --no-deps fyers-apiv3
COPY README.md LICENSE dagster.yaml ./
COPY sql sql
COPY market_pipeline market_pipeline
COPY --from=page /build/market_pipeline/api/page/vendor market_pipeline/api/page/vendor
RUN pip install --no-deps .

FROM python:3.12.13-slim-trixie
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && pip uninstall -y pip \
    && groupadd --gid 10001 market \
    && useradd --uid 10001 --gid market --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin market \
    && install -d -o market -g market -m 0700 /var/lib/market_pipeline /var/lib/market_pipeline/archive \
        /var/lib/market_pipeline/archive_scratch /var/lib/market_pipeline/journal /var/lib/market_pipeline/tokens
COPY --from=builder /opt/venv /opt/venv
COPY dagster.yaml docker/workspace.yaml /opt/dagster/
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DAGSTER_HOME=/opt/dagster MARKET_PIPELINE_HOME=/var/lib/market_pipeline
USER 10001:10001
WORKDIR /opt/dagster
# -g: a stop reaches the runs of a code server as well. It waits for them; streams would run on.
ENTRYPOINT ["tini", "-g", "--"]
CMD ["market-pipeline", "api"]
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s CMD ["python", "-m", "market_pipeline.probe", "http://127.0.0.1:8000/health"]
