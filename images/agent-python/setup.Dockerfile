# The agent's `setup` command, once, as root and with a network.
ARG BASE
FROM ${BASE}
COPY pacabench/ /opt/pacabench/
RUN mkdir -p /opt/agent && cd /opt/agent \
 && sh /opt/pacabench/online/run.sh /bin/sh /opt/pacabench/setup.sh
