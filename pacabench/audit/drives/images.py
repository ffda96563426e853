"""Two images of a project that holds answers and keys: as made here, and made carelessly."""

import io
import json
import tarfile
import tempfile
from pathlib import Path

from pacabench.audit.ground import Ground
from pacabench.benchmark import resolve_agents
from pacabench.config.load import load_config
from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.events import Event
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.containers import until_gone
from pacabench.sandbox.docker.images.agent import AgentImage, ensure_agent_image
from pacabench.sandbox.docker.images.build import LABEL, Recipe, build_image
from pacabench.sandbox.docker.images.output import Narrator

VOLUME = "/data"
_CARELESS = """\
ARG BASE
FROM ${BASE}
ADD project.tar /
VOLUME /data
"""
_SUBJECT = "the audit's agent"


def project_files(ground: Ground) -> dict[str, str]:
    """A project as users have them: the data set and the key lie beside the agent."""
    expected, key = ground.expected_canary, ground.key_canary
    case = json.dumps({"case_id": "1", "input": "?", "expected": expected})
    config = {
        "name": "audit",
        "config": {"proxy": {"provider": "scripted"}},
        "sandbox": {"image": ground.image},
        "agents": [{"name": "agent", "command": "python3 agent.py", "source": "."}],
        "datasets": [{"name": "words", "source": "data/words.jsonl"}],
    }
    return {
        # An image is known by its content: this one is no other lab's, which may remove it.
        "agent.py": f"print('{{}}')  # {ground.labels.session}\n",
        "pacabench.yaml": json.dumps(config),
        "data/words.jsonl": case + "\n",
        ".env": f"OPENAI_API_KEY={key}\n",
        ".git/HEAD": f"{expected} {key}\n",
        "runs/earlier/run.json": "{}",
        "runs/earlier/results.jsonl": case + "\n",
    }


def write_project(ground: Ground, folder: Path) -> None:
    """Write it to ``folder``."""
    for name, text in project_files(ground).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


async def made_image(ground: Ground) -> AgentImage:
    """The agent's image, made as for a run. Once per lab."""
    return await ground.shared.once("made image", lambda: _make(ground))


async def _make(ground: Ground) -> AgentImage:
    folder = Path(ground.shared.stack.enter_context(tempfile.TemporaryDirectory()))
    project, cache = folder / "project", folder / "cache"
    cache.mkdir()
    write_project(ground, project)
    (agent,) = resolve_agents(load_config(project / "pacabench.yaml"))
    image = await ensure_agent_image(ground.engine, agent, cache_dir=cache, listener=_nobody)
    _remove_at_the_end(ground, image.id)
    return image


async def careless_image(ground: Ground) -> AgentImage:
    """The whole project copied into an image, which declares a VOLUME. Once per lab."""
    return await ground.shared.once("careless image", lambda: _make_careless(ground))


async def _make_careless(ground: Ground) -> AgentImage:
    recipe = Recipe(kind="audit", key=ground.canary[:16], args={"BASE": ground.image}, labels=LABEL)
    context = _tar({"Dockerfile": _CARELESS, "project.tar": _project_tar(ground)})
    image = await build_image(ground.engine, recipe, context, Narrator(_nobody, _SUBJECT))
    _remove_at_the_end(ground, image)
    # As a run takes an image of the user's own: its volumes are read from it.
    cache = Path(ground.shared.stack.enter_context(tempfile.TemporaryDirectory()))
    agent = SandboxAgent(
        config=AgentConfig(name="agent", command="true"),
        sandbox=SandboxConfig(image=image),
        env={},
        source=None,
        requirements=None,
        project=cache,
    )
    return await ensure_agent_image(ground.engine, agent, cache_dir=cache, listener=_nobody)


def _project_tar(ground: Ground) -> bytes:
    files: dict[str, str | bytes] = {
        f"srv/project/{name}": text for name, text in project_files(ground).items()
    }
    return _tar(files, folders=[VOLUME.strip("/")]).getvalue()


def _tar(files: dict[str, str | bytes], folders: list[str] | None = None) -> io.BytesIO:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name in folders or ():
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(info)
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    sink.seek(0)
    return sink


def _remove_at_the_end(ground: Ground, image: str) -> None:
    async def remove() -> None:
        await until_gone(
            ground.engine,
            lambda client: client.remove_image(image, force=True),
            doing="removing an image of the audit",
        )

    ground.shared.stack.push_async_callback(remove)


def _nobody(_: Event) -> None:
    """Nobody watches."""
