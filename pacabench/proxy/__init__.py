"""The metering proxy. The same code runs in the sidecar and, for ``process``, in the harness.

Nothing here may import docker, typer, rich, pydantic, structlog or genai_prices: the sidecar image
holds no more libraries than ``sandbox.docker.images.sidecar`` names.
"""
