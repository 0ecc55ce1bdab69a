"""Encrypts the tokens that the database keeps, with keys that the database never sees.

Keys come from ``META_ADS_ENCRYPTION_KEYS`` (Fernet keys, newest first). Without it one is made on
first use and kept in ``encryption.keys`` under ``META_ADS_HOME``, readable by the owner alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from meta_ads_pipeline.errors import CredentialsError
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

KEY_FILE_NAME = "encryption.keys"
KEYS_VARIABLE = "META_ADS_ENCRYPTION_KEYS"
_NEW_KEY_COMMAND = "`meta-ads connections make-key`"
_OTHERS_MAY = 0o077


class VaultError(CredentialsError):
    """A token cannot be encrypted or decrypted; the message says why and what to do."""


def fingerprint(token: SecretStr) -> str:
    """Tells two tokens apart without giving one away: the beginning of the SHA-256."""
    return hashlib.sha256(token.get_secret_value().encode()).hexdigest()[:16]


class TokenVault:
    """Encrypts with the newest key, decrypts with any. Cheap; holds no key between calls."""

    def __init__(self, keys: Sequence[SecretStr], key_file: Path) -> None:
        self._keys = tuple(keys)
        self.key_file = key_file

    @classmethod
    def from_settings(cls, settings: Settings) -> TokenVault:
        """The vault that the settings describe; touches nothing yet."""
        return cls(settings.encryption_keys, settings.home / KEY_FILE_NAME)

    @property
    def source(self) -> str | None:
        """Where the keys are: the variable's name, the file's path, None before there is one."""
        if self._keys:
            return KEYS_VARIABLE
        return str(self.key_file) if self.key_file.exists() else None

    def key_count(self) -> int:
        """How many keys decrypt. Raises ``VaultError`` on an unusable one."""
        return len(_fernets(self._current_keys(), self.source or KEYS_VARIABLE))

    def encrypt(self, token: SecretStr) -> bytes:
        """The ciphertext, made with the newest key; makes the first key where there is none."""
        keys = self._current_keys() or self._make_first_key()
        return self._cipher(keys).encrypt(token.get_secret_value().encode())

    def decrypt(self, ciphertext: bytes) -> SecretStr:
        """The token. Raises ``VaultError`` when no key fits."""
        return SecretStr(self._try(lambda cipher: cipher.decrypt(ciphertext)).decode())

    def reencrypt(self, ciphertext: bytes) -> bytes:
        """The same token encrypted with the newest key. Raises ``VaultError`` when no key fits."""
        return self._try(lambda cipher: cipher.rotate(ciphertext))

    @contextmanager
    def rotation(self) -> Iterator[None]:
        """While the caller re-encrypts everything: a new key is added, and the old ones go after.

        Only keys in the file are changed; those of the environment are their owner's, who puts a
        new one in front before and takes the old one away after. When the block fails, the old
        keys stay beside the new one.
        """
        if self._keys:
            yield
            return
        with self._locked():
            old = self._read_file()
            new = Fernet.generate_key().decode()
            self._write_file([new, *old])
            yield
            self._write_file([new])

    def _try(self, use: Callable[[MultiFernet], bytes]) -> bytes:
        keys = self._current_keys()
        if not keys:
            raise VaultError(
                f"there is no key to decrypt the stored tokens with: set {KEYS_VARIABLE} to the "
                f"keys they were encrypted with, bring {self.key_file} back, or connect again "
                "with `meta-ads connect`"
            )
        try:
            return use(self._cipher(keys))
        except InvalidToken:
            pass
        # Raised here, so that the library's exception is not attached.
        other = ""
        if self._keys and self.key_file.exists():
            other = f" (there is another key in {self.key_file}: it may be the one)"
        raise VaultError(
            f"none of the {len(keys)} keys of {self.source} decrypts the stored token{other}: add "
            f"the key it was encrypted with to {KEYS_VARIABLE}, separated by a comma, or connect "
            "again with `meta-ads connect`"
        )

    def _cipher(self, keys: Sequence[str]) -> MultiFernet:
        return MultiFernet(_fernets(keys, self.source or str(self.key_file)))

    def _current_keys(self) -> list[str]:
        """Keys newest first; the file is read anew, since another process may have rotated."""
        return [key.get_secret_value() for key in self._keys] or self._read_file()

    def _make_first_key(self) -> list[str]:
        with self._locked():
            keys = self._read_file()
            if not keys:
                keys = [Fernet.generate_key().decode()]
                self._write_file(keys)
                logger.warning(
                    "%s is not set: a key was generated into %s. Whoever reads that file can "
                    "decrypt the stored tokens, and without it they are lost: keep a copy apart "
                    "from the database's backups",
                    *(KEYS_VARIABLE, self.key_file),
                )
        return keys

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.key_file.parent.mkdir(parents=True, exist_ok=True)
            handle = self.key_file.with_suffix(".lock").open("a")
        except OSError as error:
            raise self._unusable(error) from error
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _read_file(self) -> list[str]:
        try:
            mode = self.key_file.stat().st_mode
            text = self.key_file.read_text()
            if mode & _OTHERS_MAY:
                self.key_file.chmod(0o600)
                logger.warning(
                    "%s could be read by other users; that is mended (mode 0600). Rotate the key "
                    "if someone may have read it: `meta-ads connections rotate-keys`",
                    self.key_file,
                )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _write_file(self, keys: Sequence[str]) -> None:
        """Replace the file in one step, so that nobody ever reads half of it."""
        try:
            # mkstemp makes the file with mode 0600.
            descriptor, name = tempfile.mkstemp(dir=self.key_file.parent, prefix=".keys-")
            with os.fdopen(descriptor, "w") as output:
                output.write("".join(f"{key}\n" for key in keys))
                output.flush()
                os.fsync(output.fileno())
            Path(name).replace(self.key_file)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> VaultError:
        return VaultError(
            f"cannot use {self.key_file}: {error.strerror}. Make META_ADS_HOME writable for this "
            f"user, or set {KEYS_VARIABLE}"
        )


def _fernets(keys: Sequence[str], source: str) -> list[Fernet]:
    fernets: list[Fernet] = []
    with suppress(ValueError):
        for key in keys:
            fernets.append(Fernet(key))
    # Raised outside, so that the library's exception is not attached.
    if len(fernets) < len(keys):
        raise VaultError(
            f"key number {len(fernets) + 1} of {source} is not a Fernet key (32 bytes in URL-safe "
            f"base64); make one with: {_NEW_KEY_COMMAND}"
        )
    return fernets
