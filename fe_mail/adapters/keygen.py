"""New RSA keys for DKIM, made in a thread: it takes a tenth of a second or more."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fe_mail.adapters.threads import Threads

__all__ = ["RSAKeyGenerator"]

PUBLIC_EXPONENT = 65537


class RSAKeyGenerator:
    """Called with the modulus length in bits; the private key as PKCS #8 in PEM."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def __call__(self, bits: int) -> bytes:
        """A new key. ``Unavailable`` when too many wait for one."""
        return await self._threads.run(lambda: _generate(bits))


def _generate(bits: int) -> bytes:
    key = rsa.generate_private_key(PUBLIC_EXPONENT, bits)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
