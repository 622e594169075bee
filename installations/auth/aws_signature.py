"""AWS Signature Version 4 in the header Authorization.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import re
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from installations.values import BadValue

# s3.eu-central-1.amazonaws.com, and a bucket's own bucket.s3.eu-central-1.amazonaws.com.
_HOST = re.compile(r"(.+\.)?(?P<service>[a-z0-9-]+)\.(?P<region>[a-z]{2}(-[a-z]+)+-[0-9])\.amazonaws\.com")


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class AwsSignature(AuthBase):
    """Signs a request that is whole. Raises BadValue where its host is no regional one of AWS."""

    def __init__(self, access_key_id: str, secret_access_key: str):
        self.access_key_id, self.secret_access_key = access_key_id, secret_access_key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        place = _HOST.fullmatch(urlsplit(request.url).hostname or "")
        if place is None:
            raise BadValue("the host names no region of AWS")
        self.sign(request, **place.groupdict(), at=datetime.now(UTC))
        return request

    def sign(self, request: PreparedRequest, *, service: str, region: str, at: datetime) -> None:
        url, now = urlsplit(request.url), at.strftime("%Y%m%dT%H%M%SZ")
        payload = _payload(request.body, service)
        pairs = sorted(
            (quote(name, safe="~"), quote(value, safe="~"))
            for name, value in parse_qsl(url.query, keep_blank_values=True)
        )
        request.headers["X-Amz-Date"], request.headers["X-Amz-Content-SHA256"] = now, payload
        # S3 refuses a header of its own that is not signed.
        headers = {name.lower(): " ".join(value.split()) for name, value in request.headers.items()}
        headers = {name: value for name, value in headers.items() if name.startswith("x-amz-")}
        headers = dict(sorted({**headers, "host": url.netloc}.items()))
        signed = ";".join(headers)
        canonical = [
            request.method,
            # S3 takes the path as it is sent; other services have none that needs encoding twice.
            url.path or "/",
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            signed,
            payload,
        ]
        scope = f"{now[:8]}/{region}/{service}/aws4_request"
        digest = sha256("\n".join(canonical).encode()).hexdigest()
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = _mac(key, part)
        signature = _mac(key, "\n".join(["AWS4-HMAC-SHA256", now, scope, digest])).hex()
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )


def _payload(body: object, service: str) -> str:
    """The digest of the body. S3 does without, over https, where that is not at hand.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    if body is None or isinstance(body, bytes):
        return sha256(body or b"").hexdigest()
    if service != "s3":
        raise BadValue("a body of this size cannot be signed")
    return "UNSIGNED-PAYLOAD"
