"""Vaults in buckets, as safehold.toml and `vault add` have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from safehold.config import ConfigError, S3Options, VaultConfig, add_vault, check_vault, load, move_vaults, parse

NEAR = '[vaults.near]\nurl = "folder:near"\nmode = "sync"\n'
OPTIONS = S3Options("https://s3.example.org", "eu-1", "s3.credentials", 90, 5, 1024 * 1024)
BUCKET = VaultConfig("bucket", "s3:my-vault/home", "async", s3=OPTIONS)


def test_what_is_added_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "safehold.toml"
    path.write_text(NEAR)
    assert add_vault(path, BUCKET).vaults[1] == BUCKET
    assert load(path).vaults[1] == BUCKET
    assert add_vault(path, BUCKET).vaults[1] == BUCKET
    plain = VaultConfig("plain", "s3:other", "async")
    assert add_vault(path, plain).vaults[2] == plain
    assert "batch" not in path.read_text().partition("[vaults.plain]")[2]
    moved = parse(move_vaults(path.read_text(), {"near": "folder:elsewhere"}, ["plain"]))
    assert moved.vaults == (VaultConfig("near", "folder:elsewhere", "sync"), BUCKET)


@pytest.mark.parametrize(
    "text",
    [
        '[vaults.kept]\nurl = "s3:my-vault/home"\nmode = "sync"\nendpoint = "https://s3.example.org"\nlock_days = 9\n',
        'vaults.kept = {url = "s3:my-vault/home", mode = "sync", region = "eu-1"}\n',
        '[vaults.kept]\nurl = "https://example.org/v1/' + "a" * 32 + '"\nmode = "sync"\ntoken_file = "x"\n',
    ],
)
def test_what_moves_into_a_folder_leaves_the_options_of_its_sort_behind(text: str) -> None:
    """On a bare machine, where one sync vault has to be."""
    moved = move_vaults(
        f"{text}[vaults.other]\nurl = 's3:my-vault/x'\nmode = 'async'\nregion = 'eu-2'\n", {"kept": "folder:kept"}
    )
    assert parse(moved).vaults == (
        VaultConfig("kept", "folder:kept", "sync"),
        VaultConfig("other", "s3:my-vault/x", "async", s3=S3Options(region="eu-2")),
    )
    assert "# endpoint" in moved or "endpoint" not in text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('url = "s3:My_Bucket/x"', "names no bucket"),
        ('url = "s3:bucket//x"', "names no bucket"),
        ('url = "s3:bucket/../x"', "names no bucket"),
        ('url = "s3:bucket/x@yesterday"', "names no bucket"),
        ('url = "s3:bucket/x"\nendpoint = "s3.example.org"', "vaults.bucket.endpoint: needs a URL"),
        ('url = "s3:bucket/x"\nlock_days = -1', "vaults.bucket.lock_days: needs a whole number"),
        ('url = "folder:x"\nlock_days = 3', "vaults.bucket.lock_days: only a vault in a bucket"),
        ('url = "s3:bucket/x"\ntoken_file = "x"', "vaults.bucket.token_file: only a vault at a server"),
    ],
)
def test_what_cannot_be_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"{NEAR}[vaults.bucket]\n{text}\n")
    assert named in refused.value.message


def test_a_moment_may_stand_behind_a_bucket() -> None:
    assert check_vault("past", "s3:bucket/x@20261127T134500Z", "async").is_s3
