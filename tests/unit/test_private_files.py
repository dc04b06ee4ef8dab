"""A token or credentials that others on the machine may read are not used: whoever has them can fill a vault."""

from __future__ import annotations

from pathlib import Path

import pytest

from safehold.assembly.vault_urls import create_vault, open_vault
from safehold.config import S3Options, VaultConfig
from safehold.model.errors import OperatorError
from safehold.ports.vault import VaultDown
from safehold.store.realdisk import RealDisk

SERVER = VaultConfig("far", f"https://127.0.0.1:1/v1/{'a' * 32}", "async", token_file="far.token")
BUCKET = VaultConfig(
    "far", "s3:some/where", "async", s3=S3Options(endpoint="http://127.0.0.1:1", credentials_file="far.token")
)
TOKEN = f"token: {'ab' * 32}\n"
CREDENTIALS = "aws_access_key_id = AK\naws_secret_access_key = SK\n"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
@pytest.mark.parametrize(("config", "text"), [(SERVER, TOKEN), (BUCKET, CREDENTIALS)])
def test_what_others_may_read_is_not_used(config: VaultConfig, text: str, mode: int, tmp_path: Path) -> None:
    file = tmp_path / "keys" / "far.token"
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(VaultDown, match=f"others may read it: chmod 600 {file}"):
        open_vault(config, tmp_path, RealDisk(), None).size("FORMAT")
    with pytest.raises(OperatorError, match=f"others may read it: chmod 600 {file}") as caught:
        create_vault(config, tmp_path, RealDisk(), bytes(16))
    assert "Object Lock" not in (caught.value.hint or "")
    file.chmod(0o600)
    with pytest.raises(VaultDown) as reached:
        open_vault(config, tmp_path, RealDisk(), None).size("FORMAT")
    assert "others may read" not in reached.value.message
