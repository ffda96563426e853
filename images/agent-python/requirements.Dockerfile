# Wheels that were unpacked on the host for this base's interpreter: no network needed.
ARG BASE
FROM ${BASE}
COPY pacabench/ /opt/pacabench/
RUN "$(command -v python3 || command -v python)" /opt/pacabench/add_site.py
