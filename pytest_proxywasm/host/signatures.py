"""Signatures as Envoy's foreign functions ``sign`` and ``verify_signature`` make and check them.

Knows keys and hashes, through the optional library `cryptography`; knows no contexts. The messages are Envoy 1.40's.
"""

from __future__ import annotations

from typing import Any

from .extras import optional

HASHES = {"sha1": "SHA1", "sha224": "SHA224", "sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}

_NOT_VERIFIED = "Failed to verify digest. Error code: 0"
_NO_VERIFIER = "Failed to initialize digest verify."
_NO_PRIVATE_KEY = "Invalid key type: private key required for signing operation."
_BAD_PRIVATE_KEY = "Invalid private key: key data is corrupted or malformed."


def _library(name: str) -> Any:
    return optional(
        f"cryptography.hazmat.primitives.{name}",
        needs="the foreign functions sign and verify_signature",
        extra="crypto",
    )


def _hash(name: str) -> Any:
    kind = HASHES.get(name.lower())
    return None if kind is None else getattr(_library("hashes"), kind)()


def verify(hash_name: str, der: bytes, pem: bytes, signature: bytes, text: bytes) -> str:
    """Check a signature with a public key (SubjectPublicKeyInfo); what is wrong, "" when nothing is."""
    digest = _hash(hash_name)
    if digest is None:
        return f"{hash_name} is not supported."
    load = _library("serialization")
    try:
        key = load.load_pem_public_key(pem) if pem else load.load_der_public_key(_first_value(der))
    except Exception:
        return _NO_VERIFIER
    scheme = _scheme(key, digest)
    if scheme is None or (der and _is_bare_rsa(der)):
        return _NO_VERIFIER
    try:
        key.verify(signature, text, *scheme)
    except Exception:
        return _NOT_VERIFIED
    return ""


def sign(hash_name: str, der: bytes, pem: bytes, text: bytes) -> tuple[bytes, str]:
    """A signature with a private key (PKCS #8; in PEM also the older forms), and what is wrong, "" when nothing is."""
    digest = _hash(hash_name)
    if digest is None:
        return b"", f"{hash_name} is not supported."
    load = _library("serialization")
    try:
        key = load.load_pem_private_key(pem, None) if pem else _pkcs8(load, der)
    except Exception:
        return b"", _NO_PRIVATE_KEY
    scheme = _scheme(key, digest)
    if scheme is None:
        return b"", _BAD_PRIVATE_KEY
    return bytes(key.sign(text, *scheme)), ""


def _scheme(key: Any, digest: Any) -> tuple[Any, ...] | None:
    """RSA with PKCS #1 v1.5, or ECDSA; ECDSA signatures are the same every time (RFC 6979), where Envoy's vary."""
    asymmetric = "asymmetric."
    rsa, ec = _library(f"{asymmetric}rsa"), _library(f"{asymmetric}ec")
    if isinstance(key, (rsa.RSAPublicKey, rsa.RSAPrivateKey)):
        return _library(f"{asymmetric}padding").PKCS1v15(), digest
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return (ec.ECDSA(digest, deterministic_signing=True),)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return (ec.ECDSA(digest),)
    return None


def _first_value(der: bytes) -> bytes:
    """The first DER value of some bytes: Envoy ignores what follows it."""
    if len(der) < 2:
        return der
    size, at = der[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(der[2:at], "big")
    return der[: at + size]


def _tags(der: bytes) -> tuple[int, ...]:
    """The tags of the first two values in the outer sequence."""
    tags: list[int] = []
    at = 2 + (der[1] & 0x7F if len(der) > 1 and der[1] & 0x80 else 0)
    while at + 1 < len(der) and len(tags) < 2:
        tags.append(der[at])
        at += len(_first_value(der[at:]))
    return tuple(tags)


def _is_bare_rsa(der: bytes) -> bool:
    """A PKCS #1 public key starts with a number, a SubjectPublicKeyInfo with a sequence."""
    return _tags(der)[:1] == (0x02,)


def _pkcs8(load: Any, der: bytes) -> Any:
    if _tags(der) != (0x02, 0x30):
        raise ValueError("not PKCS #8")
    return load.load_der_private_key(_first_value(der), None)
