"""Signatures of bundles: who made a bundle, beside the checksums that show whether it is whole.

The Ed25519 signature (RFC 8032) covers the bytes of the manifest, and the manifest the size and SHA-256 of
every file. Keys are PEM files as OpenSSL writes them. The library is `cryptography`, of the extra ``sign``.
"""

import base64
import binascii
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstlight.errors import BundleError, SettingsError, missing_extra
from firstlight.files import replacing
from firstlight.storage import AGAIN, read_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_NAME = "manifest.sig"  # beside the manifest, the only file of a bundle that is not in it

_PURPOSE = b"firstlight bundle manifest 1\n"  # signed with the manifest: no other text can pass for one
_KEY_DIGITS = 16  # of the digest that names a public key
_LARGEST_KEY = 1 << 16  # bytes of a key file


def make_keys(path: Path) -> Path:
    """Write a new private key, for its owner alone to read, and its public key to ``PATH.pub``.

    Returns the path of the public key. Raises SettingsError if one of the files exists, and
    MissingExtraError without the extra ``sign``.
    """
    module, serialization = _ed25519()
    public_path = path.with_name(f"{path.name}.pub")
    for taken in (path, public_path):
        if taken.exists():
            raise SettingsError(f"{taken} exists; choose another name for the new keys")
    key = module.Ed25519PrivateKey.generate()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
    except OSError as error:
        raise SettingsError(f"{path}: the key cannot be written ({error.strerror})") from error
    with replacing(public_path) as partial:
        partial.write_bytes(public)
    return public_path


def write_signature(root: Path, manifest: bytes, key: Path) -> str:
    """Sign the bytes of a bundle's manifest with the private key in a file; the name of the key.

    Raises SettingsError if the file holds no unencrypted Ed25519 private key, and MissingExtraError without
    the extra ``sign``.
    """
    private = _private_key(key)
    name = _key_name(private.public_key())
    signature = base64.b64encode(private.sign(_PURPOSE + manifest)).decode("ascii")
    with replacing(root / SIGNATURE_NAME) as partial:
        partial.write_text(
            json.dumps({"key": name, "signature": signature}, indent=1) + "\n", encoding="utf-8"
        )
    return name


def check_signature(root: Path, manifest: bytes, key: Path) -> str:
    """Raise BundleError unless the bytes of a manifest are signed with the private key of this public key.

    Returns the name of the key. Raises SettingsError if the file holds no Ed25519 public key, and
    MissingExtraError without the extra ``sign``.
    """
    public = _public_key(key)
    from cryptography.exceptions import InvalidSignature

    name = _key_name(public)
    found, signature = _read_signature(root)
    try:
        public.verify(signature, _PURPOSE + manifest)
    except InvalidSignature:
        whose = f"it was signed with key {found}" if found != name else "its manifest has changed since"
        raise BundleError(
            f"{root}: not signed with key {name} of {key} ({whose}); use the right key, or {AGAIN}"
        ) from None
    return name


def signed_with(root: Path) -> str | None:
    """Name of the key that a bundle says it is signed with, which proves nothing; None if unsigned."""
    return _read_signature(root)[0] if (root / SIGNATURE_NAME).is_file() else None


# --- private --------------------------------------------------------------------


def _ed25519() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise missing_extra("signing and verifying bundles", "cryptography", "sign") from error
    return ed25519, serialization


def _private_key(path: Path) -> "Ed25519PrivateKey":
    module, serialization = _ed25519()
    try:
        key = serialization.load_pem_private_key(_read_key(path), password=None)
    except (ValueError, TypeError) as error:  # TypeError: a password is needed
        raise SettingsError(
            f"{path}: no unencrypted private key in PEM ({error}); make one by `firstlight bundle keygen`"
        ) from error
    if not isinstance(key, module.Ed25519PrivateKey):
        raise SettingsError(f"{path}: not an Ed25519 key; make one with `firstlight bundle keygen`")
    return key


def _public_key(path: Path) -> "Ed25519PublicKey":
    module, serialization = _ed25519()
    try:
        key = serialization.load_pem_public_key(_read_key(path))
    except ValueError as error:
        raise SettingsError(f"{path}: not a public key in PEM; give the file that ends in .pub") from error
    if not isinstance(key, module.Ed25519PublicKey):
        raise SettingsError(f"{path}: not an Ed25519 public key; give the file that ends in .pub")
    return key


def _read_key(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_KEY)
    except OSError as error:
        raise SettingsError(f"{path}: the key cannot be read ({error.strerror})") from error


def _key_name(key: "Ed25519PublicKey") -> str:
    """First digits of the SHA-256 of a public key, by which people compare keys."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_KEY_DIGITS]


def _read_signature(root: Path) -> tuple[str, bytes]:
    """Name of the key and signature."""
    path = root / SIGNATURE_NAME
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{root}: not signed (no {SIGNATURE_NAME}); ask its maker for a signed one")
    content = read_json(path)
    key, text = content.get("key"), content.get("signature")
    try:
        if not isinstance(key, str) or not isinstance(text, str):
            raise ValueError("key and signature must be text")
        return key, base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BundleError(f"{path}: not a signature ({error}); {AGAIN}") from error
