# A copy of the image's own WORKDIR, which is where this runs, readable for every uid.
ARG BASE
FROM ${BASE}
RUN mkdir -p /opt/workdir && cp -a . /opt/workdir/ && chmod -R a+rX /opt/workdir
