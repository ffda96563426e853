"""All commands, put together."""

from typing import Annotated

import typer

from pacabench import __version__
from pacabench.cli import images
from pacabench.cli.cleaning import clean
from pacabench.cli.comparing import compare
from pacabench.cli.doctor import doctor
from pacabench.cli.exporting import export
from pacabench.cli.output import write_result
from pacabench.cli.project import init, show_config
from pacabench.cli.running import resume, retry, run
from pacabench.cli.showing import show

app = typer.Typer(
    name="pacabench",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,  # shows values of variables, keys among them
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
app.command()(init)
app.command()(run)
app.command()(resume)
app.command()(retry)
app.command()(show)
app.command()(compare)
app.command()(export)
app.command("show-config")(show_config)
app.add_typer(images.app, name="images")
app.command()(doctor)
app.command()(clean)


def _version(asked: bool) -> None:
    if asked:
        write_result(f"pacabench {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 infrastructure failures left, "
    "4 a gate did not hold, 130 interrupted."
)
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    """Benchmark LLM agents you do not trust, in throwaway containers."""
