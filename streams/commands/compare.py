"""How are runs compared from the command line?"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from streams.evaluation.comparison import NotComparable
from streams.evaluation.comparison import compare as compare_runs
from streams.evaluation.comparison_page import page
from streams.evaluation.result import RESULT_VERSION, Result, decode_result


@click.command()
@click.argument(
    "results",
    nargs=-1,
    required=True,
    metavar="RESULT…",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("comparison.html"),
    show_default=True,
    help="The page.",
)
def compare(results: tuple[Path, ...], out: Path) -> None:
    """Join runs of one log into a page with plots and intervals; RESULT… are from `evaluate`."""
    from streams.evaluation.pictures import picture  # noqa: PLC0415  # matplotlib takes a second to import

    runs = {name: _read(path) for name, path in zip(_names(results), results, strict=True)}
    try:
        comparison = compare_runs(runs)
    except NotComparable as error:
        raise click.ClickException(str(error)) from error
    out.write_text(page(runs, comparison, picture(runs, comparison)), encoding="utf-8")
    click.echo(
        f"{out}: {len(runs)} runs on {comparison.num_actions:,} actions and "
        f"{comparison.num_slates:,} slates"
    )


def _names(paths: tuple[Path, ...]) -> list[str]:
    """The files' names without their ending; whole paths where two are the same."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def _read(path: Path) -> Result:
    try:
        return decode_result(path.read_bytes())
    except msgspec.DecodeError as error:
        raise click.ClickException(
            f"{path} is no result of version {RESULT_VERSION} ({error}): run `headrace evaluate` "
            "with --out again with this release"
        ) from error
