"""The commands ``bundle keygen``, ``bundle sign`` and ``bundle verify``: who made a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from firstlight.cli.app import app

_bundle = typer.Typer(
    help="Sign bundles, and verify who made one; `firstlight info` describes a bundle.",
    epilog="Example: firstlight bundle verify BUNDLE --key maker.pub",
    no_args_is_help=True,
)
app.add_typer(_bundle, name="bundle")

Folder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.")]


@_bundle.command(epilog="Example: firstlight bundle keygen maker.key")
def keygen(
    key: Annotated[
        Path, typer.Argument(metavar="KEY", help="Private key to write; KEY.pub is its public key.")
    ],
) -> None:
    """Make a pair of Ed25519 keys: KEY signs and stays secret, KEY.pub verifies and is for everyone."""
    from firstlight.pipeline.signature import make_keys

    typer.echo(make_keys(key))


@_bundle.command(epilog="Example: firstlight bundle sign runs/bundle --key maker.key")
def sign(
    bundle: Folder,
    key: Annotated[Path, typer.Option(help="Private key (Ed25519, PEM), as keygen or OpenSSL makes it.")],
) -> None:
    """Sign a bundle: its signature covers the manifest, and the manifest every file."""
    from firstlight.pipeline.bundle import sign_bundle

    name = sign_bundle(bundle, key)
    typer.echo(f"{bundle}: signed with key {name}")


@_bundle.command(epilog="Example: firstlight bundle verify runs/bundle --key maker.key.pub")
def verify(
    bundle: Folder,
    key: Annotated[Path, typer.Option(help="Public key (Ed25519, PEM) of the maker whom you trust.")],
) -> None:
    """Verify that a bundle is whole and was signed with the private key of a public key."""
    from firstlight.pipeline.bundle import open_bundle

    manifest = open_bundle(bundle, public_key=key)
    typer.echo(f"{bundle}: {len(manifest.files)} files as signed, version {manifest.fingerprint}")
