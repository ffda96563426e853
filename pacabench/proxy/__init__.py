"""The metering proxy. The same code runs in the sidecar and, for ``process``, in the harness.

Nothing here may import docker, typer, rich, pydantic, structlog or genai_prices: the sidecar image
holds only aiohttp and orjson.
"""
