"""The command ``warm``: compile now the kernels that the first use would wait for."""

from time import perf_counter
from typing import Annotated

import typer

from firstlight.cli.app import Bundle, VerifyWith, app, need_libraries, progress


@app.command(epilog="Example: firstlight warm --bundle fast --stream")
def warm(
    bundle: Bundle = None,
    verify_with: VerifyWith = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Compile the kernels of `firstlight stream` as well.")
    ] = False,
) -> None:
    """Compile the kernels of a bundle now, for an image or a node of a broker, instead of at its first use.

    Code is compiled for the processor of this machine; another kind of processor compiles again.
    """
    if stream:
        need_libraries("the stream", "stream", ("confluent_kafka", "fastavro", "orjson", "prometheus_client"))
    from firstlight.errors import SettingsError
    from firstlight.kernels import compile_kernels, folder_of_code
    from firstlight.pipeline import Pipeline

    folder = folder_of_code()
    if folder is None:
        raise SettingsError(
            "compiled code cannot be kept: numba is off (NUMBA_DISABLE_JIT), or neither the package's folder "
            "nor the user's cache can be written; set NUMBA_CACHE_DIR to a folder that can"
        )
    start = perf_counter()
    with progress() as report:
        Pipeline.load(bundle, public_key=verify_with, progress=report)
        if stream:
            compile_kernels("stream", progress=report)
    typer.echo(f"ready after {perf_counter() - start:.1f} s; compiled code is in {folder}")
