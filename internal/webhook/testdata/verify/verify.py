"""Checks a webhook of Postern with nothing but Python's own library."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time

TOLERANCE = 5 * 60


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Checks the Standard Webhooks headers (lower case) over the raw body.

    secret is the endpoint's, "whsec_...".
    """
    key = base64.b64decode(secret.removeprefix("whsec_"))
    at = headers.get("webhook-timestamp", "")
    if not fresh(at):
        return False
    signed = f"{headers.get('webhook-id', '')}.{at}.".encode() + body
    want = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # While a secret is being rotated there is one signature for each key.
    return any(equal(got, want) for got in headers.get("webhook-signature", "").split())


def verify_postern(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Checks the Postern-Signature header, "t=...,v1=...,v1=..."."""
    parts = [part.partition("=") for part in headers.get("postern-signature", "").split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    if not fresh(at):
        return False
    want = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return any(name == "v1" and equal(value, want) for name, _, value in parts)


def fresh(timestamp: str) -> bool:
    """Refuses requests that are old, and so may be replayed."""
    return timestamp.isdecimal() and abs(time.time() - int(timestamp)) <= TOLERANCE


def equal(a: str, b: str) -> bool:
    """Compares in constant time, whatever a stranger has put into a header."""
    return hmac.compare_digest(a.encode(), b.encode())


# The rest makes a program of it: {"headers": {...}, "body": base64} on standard
# input, the secret in WEBHOOK_SECRET.
if __name__ == "__main__":
    given = json.load(sys.stdin)
    key, raw = os.environ["WEBHOOK_SECRET"], base64.b64decode(given["body"])
    if not (verify(key, given["headers"], raw) and verify_postern(key, given["headers"], raw)):
        sys.exit("no signature matches")
    print("verified")
