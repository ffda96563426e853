"""LiteLLM's proxy from PyPI, in a virtual environment of its own that is kept for the next time."""

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from proxy_bench.processes import BenchError

VERSION = "1.106.12"
MASTER_KEY = "sk-litellm-0123456789abcdef0123456789abcdef"
"""It does not start without one. Calls come with it: there is no database to look keys up in."""
_DEAD_END = "http://127.0.0.1:9"
"""Where nobody listens: what LiteLLM would fetch from the web fails at once."""
NO_WAY_OUT = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_DOCS": "True",
    "HTTP_PROXY": _DEAD_END,
    "HTTPS_PROXY": _DEAD_END,
    "NO_PROXY": "127.0.0.1,localhost",
}


def default_cache() -> Path:
    """Where the environment is kept, by the XDG base directory specification."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(told) if told.startswith("/") else Path.home() / ".cache"
    return base / "pacabench-benchmarks"


def ensure_litellm(cache: Path) -> Path:
    """The interpreter of an environment with LiteLLM in it; made where there is none yet.

    Raises:
        BenchError: it cannot be installed.
    """
    folder = cache / f"litellm-{VERSION}-python-{sys.version_info[0]}.{sys.version_info[1]}"
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists():
        return python
    print(f"installing LiteLLM {VERSION} in {folder} (once)", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", f"litellm[proxy]=={VERSION}"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise BenchError(
            f"LiteLLM {VERSION} could not be installed; --without-litellm leaves it out\n"
            + told.stderr[-2000:]
        )
    done.touch()
    return python


def config_for(base_url: str, api_key: str) -> dict[str, Any]:
    """What LiteLLM's documentation advises for production, without a database."""
    names = ("plain", "silent", "stream-*")
    return {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{name}",
                    "api_base": base_url,
                    "api_key": api_key,
                },
            }
            for name in names
        ],
        "litellm_settings": {
            "telemetry": False,
            "set_verbose": False,
            "num_retries": 0,
            "request_timeout": 600,
        },
        "general_settings": {
            "master_key": MASTER_KEY,
            "disable_spend_logs": True,
            "disable_error_logs": True,
        },
    }
