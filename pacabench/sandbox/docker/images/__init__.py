"""The images: which base, what is built on it, and when it is built again.

Everything is content-addressed: the tag of an image is a hash of all that went into it, so what is
there needs no build, and what changed gets a new tag. See ``docs/images.md``.
"""

from pacabench.sandbox.docker.images.agent import AgentImage, ensure_agent_image
from pacabench.sandbox.docker.images.inventory import ImageInfo, list_images
from pacabench.sandbox.docker.images.service import ServiceImage, ensure_service_image
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image

__all__ = [
    "AgentImage",
    "ImageInfo",
    "ServiceImage",
    "ensure_agent_image",
    "ensure_service_image",
    "ensure_sidecar_image",
    "list_images",
]
