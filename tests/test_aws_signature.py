"""AWS Signature Version 4, held against the examples of Amazon's own pages.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from datetime import UTC, datetime

import pytest
from requests import Request

from installations.auth.aws_signature import AwsSignature
from installations.values import BadValue

KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_it_is_the_one_of_the_examples(query, signature):
    request = Request("GET", f"https://examplebucket.s3.amazonaws.com/?{query}").prepare()
    AwsSignature(*KEY).sign(request, service="s3", region="us-east-1", at=datetime(2013, 5, 24, tzinfo=UTC))
    assert request.headers["X-Amz-Date"] == "20130524T000000Z"
    assert request.headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
    )


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("sts.eu-central-1.amazonaws.com", "/eu-central-1/sts/"),
        ("harbor.street.s3.us-gov-west-1.amazonaws.com", "/us-gov-west-1/s3/"),
    ],
)
def test_region_and_service_are_those_of_the_host(host, scope):
    request = Request("GET", f"https://{host}/").prepare()
    AwsSignature(*KEY)(request)
    assert scope in request.headers["Authorization"]


@pytest.mark.parametrize(
    "host", ["s3.amazonaws.com", "example.com", "s3.eu-central-1.amazonaws.com.evil.example"]
)
def test_no_other_host_gets_a_signature(host):
    with pytest.raises(BadValue):
        AwsSignature(*KEY)(Request("GET", f"https://{host}/").prepare())
