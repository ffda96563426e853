# Requirements that no wheel fits: the base's own pip builds them, inside.
ARG BASE
FROM ${BASE}
COPY pacabench/ /opt/pacabench/
RUN cd /opt/pacabench/requirements \
 && PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore sh /opt/pacabench/online/run.sh \
    "$(command -v python3 || command -v python)" -m pip install --no-cache-dir \
    --disable-pip-version-check --progress-bar off --requirement requirements.txt
