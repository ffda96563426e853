"""Runs inside an image: makes /opt/pacabench/site part of its Python, and compiles it.

By a .pth file and not by PYTHONPATH, which agents set for themselves. The directory goes before
the image's own site-packages, because a requirement is meant to win over what an image happens to
have, and after the standard library. Console scripts are linked to where pip would put them.
"""

import compileall
import py_compile
import site
import sysconfig
from pathlib import Path

SITE = Path("/opt/pacabench/site")
PTH = (
    f"import site, sys; site.addsitedir({str(SITE)!r}); sys.path.remove({str(SITE)!r}); "
    "sys.path.insert(next((i for i, p in enumerate(sys.path) if p.endswith("
    f"('site-packages', 'dist-packages'))), len(sys.path)), {str(SITE)!r})\n"
)


def main() -> None:
    """Compile what compiles: packages ship templates, and code for other versions."""
    folder = Path(site.getsitepackages()[0])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pacabench.pth").write_text(PTH)
    scripts = Path(sysconfig.get_path("scripts"))
    scripts.mkdir(parents=True, exist_ok=True)
    for script in sorted((SITE / "bin").glob("*")):
        link = scripts / script.name
        link.unlink(missing_ok=True)
        link.symlink_to(script)
    compileall.compile_dir(
        SITE, quiet=2, workers=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )


if __name__ == "__main__":
    main()
