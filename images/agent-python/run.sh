#!/bin/sh
# Runs a step that needs the network. Where the harness's machine has certificates of its own
# (a proxy that looks into TLS), the step trusts them too; the image's environment is left alone.
set -eu
certificates=/opt/pacabench/online/ca.pem
if [ -s "$certificates" ]; then
  export SSL_CERT_FILE="$certificates" REQUESTS_CA_BUNDLE="$certificates" \
    PIP_CERT="$certificates" CURL_CA_BUNDLE="$certificates" GIT_SSL_CAINFO="$certificates" \
    NODE_EXTRA_CA_CERTS="$certificates"
fi
"$@"
rm -rf /opt/pacabench/online
