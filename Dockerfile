# promptctl for CI, and for a shell on your own PostgreSQL. The image runs without root, without a home directory, and with
# a read-only root file system:
#
#   docker build -t promptctl .
#   docker run --rm --read-only -e DATABASE_URL -v "$PWD:/work:ro" promptctl sync prompts/ --check
#
# EXTRAS selects the extras of the Python package, for example cli,chat for conversations with Claude. An embedded database
# is not for this image: its server needs an account for its user, and a place that stays.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ARG EXTRAS=cli
WORKDIR /src
COPY pyproject.toml README.md LICENSE schema.sql ./
COPY scripts/promptctl scripts/promptctl
COPY man man
COPY promptctl promptctl
RUN python -m venv /opt/promptctl
RUN /opt/promptctl/bin/pip install --no-cache-dir --disable-pip-version-check "/src[${EXTRAS}]"
# Nothing is installed later, so the image needs no pip. The file makes hints name EXTRAS in place of pip.
RUN /opt/promptctl/bin/pip uninstall --yes --quiet --disable-pip-version-check pip && \
    touch /opt/promptctl/made-by-the-dockerfile

FROM python:${PYTHON}
# A sync asks Git for the commit and the authors.
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/promptctl /opt/promptctl
# A mounted repository belongs to another user. Without this setting, Git refuses to read it.
ENV PATH=/opt/promptctl/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    GIT_CONFIG_COUNT=1 \
    GIT_CONFIG_KEY_0=safe.directory \
    GIT_CONFIG_VALUE_0=*
# A number, so that Kubernetes can see that it is not root. No account is needed.
USER 10001:10001
WORKDIR /work
# Healthy: the database can be reached and has the schema. For a container that stays, for example with a shell.
HEALTHCHECK --interval=30s --timeout=10s CMD ["promptctl", "list", "--limit", "1", "--quiet"]
ENTRYPOINT ["promptctl"]
CMD ["--help"]
