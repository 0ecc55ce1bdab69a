"""The vault: what it encrypts nobody reads without a key, and keys can be changed."""

from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.connection_tokens import read_token, rotate_keys
from meta_ads_pipeline.credentials.connections import ConnectionStatus, TokenFacts, save_connection
from meta_ads_pipeline.credentials.vault import KEY_FILE_NAME, TokenVault, VaultError, fingerprint

TOKEN = SecretStr("EAAvaultToken0123456789abcdef")


def new_key() -> SecretStr:
    return SecretStr(Fernet.generate_key().decode())


def vault(tmp_path: Path, *keys: SecretStr) -> TokenVault:
    return TokenVault(keys, tmp_path / KEY_FILE_NAME)


def store(database: Database, where: TokenVault, name: str, token: SecretStr = TOKEN) -> str:
    return save_connection(
        database,
        where,
        workspace="default",
        name=name,
        token=token,
        facts=TokenFacts(),
        status=ConnectionStatus.ACTIVE,
        reason=None,
        reads_all_accounts=True,
    ).connection_id


def test_what_is_encrypted_comes_back_and_differs_each_time(tmp_path: Path) -> None:
    found = vault(tmp_path, new_key())
    first, second = found.encrypt(TOKEN), found.encrypt(TOKEN)
    assert first != second
    assert TOKEN.get_secret_value().encode() not in first
    assert found.decrypt(first) == found.decrypt(second) == TOKEN
    assert TOKEN.get_secret_value() not in repr(found.decrypt(first))
    assert not (tmp_path / KEY_FILE_NAME).exists()


def test_the_newest_key_encrypts_and_every_key_decrypts(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    by_old = vault(tmp_path, old).encrypt(TOKEN)
    both = vault(tmp_path, new, old)
    assert both.decrypt(by_old) == TOKEN
    by_new = both.encrypt(TOKEN)
    assert vault(tmp_path, new).decrypt(by_new) == TOKEN
    with pytest.raises(VaultError):
        vault(tmp_path, old).decrypt(by_new)


def test_without_a_key_one_is_made_for_the_owner_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = vault(tmp_path)
    assert found.source is None
    with caplog.at_level(logging.WARNING):
        ciphertext = found.encrypt(TOKEN)
    assert stat.S_IMODE(found.key_file.stat().st_mode) == 0o600
    assert "META_ADS_ENCRYPTION_KEYS is not set" in caplog.text
    assert found.key_file.read_text().strip() not in caplog.text
    assert vault(tmp_path).decrypt(ciphertext) == TOKEN


def test_a_key_file_that_others_may_read_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = vault(tmp_path)
    ciphertext = found.encrypt(TOKEN)
    found.key_file.chmod(0o644)
    assert found.decrypt(ciphertext) == TOKEN
    assert stat.S_IMODE(found.key_file.stat().st_mode) == 0o600
    assert "rotate" in caplog.text.lower()


def test_many_at_once_make_one_key(tmp_path: Path) -> None:
    made: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: made.append(vault(tmp_path).encrypt(TOKEN)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert {vault(tmp_path).decrypt(each).get_secret_value() for each in made} == {
        TOKEN.get_secret_value()
    }


def test_a_wrong_key_is_told_clearly_and_shows_nothing(tmp_path: Path) -> None:
    ciphertext = vault(tmp_path, new_key()).encrypt(TOKEN)
    wrong = new_key()
    with pytest.raises(VaultError, match="META_ADS_ENCRYPTION_KEYS") as caught:
        vault(tmp_path, wrong).decrypt(ciphertext)
    assert "meta-ads connect" in str(caught.value)
    assert wrong.get_secret_value() not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_key_file_is_named_when_the_environment_has_other_keys(tmp_path: Path) -> None:
    ciphertext = vault(tmp_path).encrypt(TOKEN)
    with pytest.raises(VaultError, match=KEY_FILE_NAME):
        vault(tmp_path, new_key()).decrypt(ciphertext)


def test_no_key_at_all_is_told_and_none_is_made_by_reading(tmp_path: Path) -> None:
    ciphertext = vault(tmp_path, new_key()).encrypt(TOKEN)
    with pytest.raises(VaultError, match="no key"):
        vault(tmp_path).decrypt(ciphertext)
    assert not (tmp_path / KEY_FILE_NAME).exists()


@pytest.mark.parametrize("bad", ["short", "ä" * 44, "A" * 43])
def test_an_unusable_key_is_named_by_its_place(tmp_path: Path, bad: str) -> None:
    with pytest.raises(VaultError, match="key number 2") as caught:
        vault(tmp_path, new_key(), SecretStr(bad)).encrypt(TOKEN)
    assert bad not in str(caught.value)


def test_rotation_makes_the_old_key_superfluous(database: Database, tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    other = SecretStr("EAAanotherToken0123456789")
    first = store(database, vault(tmp_path, old), "one")
    second = store(database, vault(tmp_path, old), "two", other)
    assert rotate_keys(database, vault(tmp_path, new, old)) == 2
    assert read_token(database, vault(tmp_path, new), first) == TOKEN
    assert read_token(database, vault(tmp_path, new), second) == other


def test_rotation_of_the_key_file_takes_the_old_key_away(
    database: Database, tmp_path: Path
) -> None:
    stored = store(database, vault(tmp_path), "one")
    before = (tmp_path / KEY_FILE_NAME).read_text()
    rotate_keys(database, vault(tmp_path))
    after = (tmp_path / KEY_FILE_NAME).read_text()
    assert before.strip() not in after
    assert stat.S_IMODE((tmp_path / KEY_FILE_NAME).stat().st_mode) == 0o600
    assert read_token(database, vault(tmp_path), stored) == TOKEN


def test_a_rotation_that_fails_changes_nothing(database: Database, tmp_path: Path) -> None:
    good = store(database, vault(tmp_path), "good")
    lost = new_key()
    store(database, vault(tmp_path, lost), "lost")
    with pytest.raises(VaultError, match="default/lost"):
        rotate_keys(database, vault(tmp_path))
    assert read_token(database, vault(tmp_path), good) == TOKEN


def test_a_dump_of_the_database_holds_no_token(database: Database, tmp_path: Path) -> None:
    store(database, vault(tmp_path), "one")
    with database.connect() as connection:
        rows = connection.execute("select c::text as row from control.connections as c").fetchall()
    dump = "\n".join(row["row"] for row in rows)
    secret = TOKEN.get_secret_value()
    assert "one" in dump
    assert secret not in dump
    assert secret.encode().hex() not in dump
    assert (tmp_path / KEY_FILE_NAME).read_text().strip() not in dump


def test_fingerprints_tell_tokens_apart_and_give_none_away() -> None:
    assert fingerprint(TOKEN) == fingerprint(SecretStr(TOKEN.get_secret_value()))
    assert fingerprint(TOKEN) != fingerprint(SecretStr("EAAother"))
    assert fingerprint(TOKEN) not in TOKEN.get_secret_value()
    assert len(fingerprint(TOKEN)) == 16
