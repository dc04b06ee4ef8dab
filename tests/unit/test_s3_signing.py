"""Requests to S3 stores: signed as AWS publishes it, with credentials from where they belong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from safehold.adapters.s3_credentials import find_settings
from safehold.adapters.s3_requests import S3Settings, signed_headers
from safehold.ports.objectstore import StoreError

#: The examples of docs.aws.amazon.com, "Authenticating Requests: Using the Authorization Header".
EXAMPLE = S3Settings(
    "https://examplebucket.s3.amazonaws.com",
    "us-east-1",
    "examplebucket",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
)
MOMENT = time.strptime("20130524T000000Z", "%Y%m%dT%H%M%SZ")
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "from", "AWS_SECRET_ACCESS_KEY": "there", "AWS_REGION": "eu-1"}


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        (
            *("GET", "/test.txt", {}, {"Range": "bytes=0-9"}, b""),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            *("PUT", "/test%24file.text", {}),
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            *("GET", "/", {"lifecycle": ""}, {}, b""),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            *("GET", "/", {"max-keys": "2", "prefix": "J"}, {}, b""),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_published_examples(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes, signature: str
) -> None:
    host = "examplebucket.s3.amazonaws.com"
    sent = signed_headers(EXAMPLE, method, host, path, query, headers, body, MOMENT)
    assert sent["authorization"].endswith(f"Signature={signature}")


def test_credentials_come_from_the_file_or_else_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "s3.credentials"
    file.touch(0o600)
    for section in ("", "[default]\n", "[x]\n"):
        file.write_text(f"{section}aws_access_key_id=a\naws_secret_access_key = b%c\n")
        found = find_settings("bucket", "https://s3.example.org/", "", file.name, str(tmp_path), ENVIRONMENT)
        assert found == S3Settings("https://s3.example.org", "eu-1", "bucket", "a", "b%c")
    found = find_settings("bucket", "", "", "", str(tmp_path), ENVIRONMENT)
    assert found == S3Settings("https://s3.eu-1.amazonaws.com", "eu-1", "bucket", "from", "there")
    with pytest.raises(StoreError, match="no credentials"):
        find_settings("bucket", "", "", "", str(tmp_path), {})


def test_credentials_that_others_may_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "s3.credentials"
    file.write_text("aws_access_key_id=a\naws_secret_access_key=b\n")
    file.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        find_settings("bucket", "", "", str(file), "", ENVIRONMENT)
    with pytest.raises(StoreError, match="cannot be read"):
        find_settings("bucket", "", "", "elsewhere", str(tmp_path), ENVIRONMENT)
    file.write_text("no line of it\n")
    file.chmod(0o600)
    with pytest.raises(StoreError, match="NAME = VALUE"):
        find_settings("bucket", "", "", str(file), "", ENVIRONMENT)
