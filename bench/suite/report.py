"""Report of results files: `python -m bench report RESULTS... -o report.html`.

One HTML page with the figures, plots, machines, versions and commands of the files. It needs no script and
loads nothing, so it can be sent by mail or kept beside a release.
"""

from pathlib import Path

import click

from bench.kit.errors import BenchError
from bench.suite.page import page
from bench.suite.result_file import read_results


@click.command(help="One HTML page of results files, with plots.")
@click.argument(
    "files", nargs=-1, required=True, metavar="RESULTS...", type=click.Path(path_type=Path)
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
              default=Path("bench-report.html"), show_default=True, help="file of the page")  # fmt: skip
def command(files: tuple[Path, ...], output: Path) -> int:
    """Write the page. Returns 0. Raises BenchError for a file that cannot be read or written."""
    results = [result for file in files for result in read_results(file)]
    if any(file.exists() and output.exists() and file.samefile(output) for file in files):
        raise BenchError(f"{output} is a file of results; name another one by -o")
    try:
        output.write_text(page(results), encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{output} cannot be written: {error.strerror}") from None
    print(f"{output}: {len(results)} results")
    return 0
