"""Messages that pass through strangers' hands: only who knows the attempt's token can read one, or make one that is believed.

A message is a nonce of 16 bytes, the text under a key stream of SHAKE256, and an HMAC-SHA-256 over all of it. Keys are derived
from the token, one pair for each sender, so that no message can be sent back to where it came from.
"""

import hashlib
import hmac
import secrets
from typing import Literal

Sender = Literal["operator", "agent"]

NONCE_BYTES = 16
_TAG_BYTES = 32


def sealed(token: str, sender: Sender, context: bytes, text: bytes, nonce: bytes | None = None) -> bytes:
    """The message of a sender. `context` is what it belongs to: the nonce of the message that it answers, or nothing.

    `nonce` is for test vectors alone: used twice, it would give both texts away.
    """
    nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
    covered = nonce + _under_stream(token, sender, nonce, text)
    return covered + _tag(token, sender, context, covered)


def opened(token: str, sender: Sender, context: bytes, message: bytes) -> bytes | None:
    """The text of a message; None when it is not one of this sender, or belongs to something else."""
    covered, tag = message[:-_TAG_BYTES], message[-_TAG_BYTES:]
    # Compared in a time that tells nothing, and before anything is made of the text.
    if len(covered) < NONCE_BYTES or not hmac.compare_digest(_tag(token, sender, context, covered), tag):
        return None
    return _under_stream(token, sender, covered[:NONCE_BYTES], covered[NONCE_BYTES:])


def _key(token: str, sender: Sender, purpose: str) -> bytes:
    return hmac.digest(token.encode(), f"trainingjob pull 1 {sender} {purpose}".encode(), "sha256")


def _tag(token: str, sender: Sender, context: bytes, covered: bytes) -> bytes:
    return hmac.digest(_key(token, sender, "authenticity"), context + covered, "sha256")


def _under_stream(token: str, sender: Sender, nonce: bytes, text: bytes) -> bytes:
    stream = hashlib.shake_256(_key(token, sender, "secrecy") + nonce).digest(len(text))
    return (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(len(text))
