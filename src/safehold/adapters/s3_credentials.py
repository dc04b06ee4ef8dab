"""Where the credentials of an S3 store are found: a file of ours, or the environment that every S3 tool reads.

The file is as other tools write it, with or without a section:

    [default]
    aws_access_key_id = …
    aws_secret_access_key = …
    aws_session_token = …      if there is one

Nobody but its owner may read it.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping

from safehold.adapters.private_file import why_not_private
from safehold.adapters.s3_requests import S3Settings
from safehold.ports.objectstore import StoreError

_DEFAULT_REGION = "us-east-1"
_NAMES = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def find_settings(
    bucket: str, endpoint: str, region: str, file: str, folder: str, environment: Mapping[str, str] | None = None
) -> S3Settings:
    """What is "" comes from the environment; `file` is relative to `folder`. Raises StoreError."""
    env = os.environ if environment is None else environment
    region = region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or _DEFAULT_REGION
    endpoint = endpoint or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""
    endpoint = endpoint.rstrip("/") or f"https://s3.{region}.amazonaws.com"
    path = os.path.join(folder, file) if file else ""
    found = _read(path) if path else {name: env.get(name.upper(), "") for name in _NAMES}
    key, secret, token = (found.get(name, "").strip() for name in _NAMES)
    if not key or not secret:
        where = f"{path} has none" if path else "neither credentials_file nor AWS_ACCESS_KEY_ID names any"
        raise StoreError(f"there are no credentials for the bucket {bucket}: {where}")
    return S3Settings(endpoint, region, bucket, key, secret, token)


def _read(path: str) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as file:
            if why := why_not_private(path, "credentials"):
                raise StoreError(why)
            text = file.read()
        parser.read_string(text if text.lstrip().startswith("[") else f"[default]\n{text}")
    except OSError as error:
        raise StoreError(f"the credentials in {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, configparser.Error) as error:
        raise StoreError(f"{path} is no file of credentials: a line of it is not NAME = VALUE") from error
    sections = parser.sections()
    if not sections:
        return {}
    return parser["default" if "default" in sections else sections[0]]
