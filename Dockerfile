# The service, without torch and without a local server: it talks to the Neo4j of WEIGHTOME_URI.

FROM python:3.13-slim AS build
WORKDIR /source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The packages first: their layer is rebuilt only when a pin changes.
COPY requirements/build.txt requirements/service.txt requirements/
RUN python -m venv /opt/weightome \
    && /opt/weightome/bin/pip install --require-hashes --only-binary :all: -r requirements/service.txt \
    && pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheel . \
    && /opt/weightome/bin/pip install --no-deps --no-index /wheel/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin weightome \
    && install --directory --owner weightome --mode 0700 /spool
COPY --from=build /opt/weightome /opt/weightome
ENV PATH=/opt/weightome/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER weightome
EXPOSE 8080
# Not loopback, so the service refuses to start without WEIGHTOME_TOKEN.
ENTRYPOINT ["weightome"]
# Uploaded files wait in /spool; on a volume they also outlive the container.
CMD ["serve", "--host", "0.0.0.0", "--port", "8080", "--spool", "/spool"]
