"""The secret behind pseudonyms: read from its file, made at the first start, and held to be the same ever after."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path
from typing import Final

from pipeline.durable import create_file, make_directory
from pipeline.errors import ConfigError
from pipeline.privacy.settings import PrivacySettings

SECRET_BYTES: Final = 32
KEY_FILE: Final = "privacy.key"
CHECK_FILE: Final = "privacy.check"

_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{2 * SECRET_BYTES}}}")


def secret_of(settings: PrivacySettings, data_dir: Path) -> bytes | None:
    """The secret, 32 bytes; None where nothing is pseudonymised.

    Its fingerprint stays in the data directory: with another secret every vehicle would get a second name, unseen.

    Raises:
        ConfigError: the file named is missing or holds no secret, or it is not the secret the data were written with.
    """
    if settings.pseudonymise == "off":
        return None
    check = data_dir / CHECK_FILE
    try:
        make_directory(data_dir)
        path = settings.key_file or data_dir / KEY_FILE
        if settings.key_file is None and not path.exists() and not check.exists():
            # `create_file` gives mode 0600.
            create_file(path, [memoryview(secrets.token_hex(SECRET_BYTES).encode() + b"\n")])
        secret = _read(path)
        fingerprint = hashlib.blake2b(b"canfleet privacy.check", key=secret, digest_size=16).hexdigest()
        if not check.exists():
            create_file(check, [memoryview(fingerprint.encode() + b"\n")])
        known = check.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"the secret of privacy: {error}; restore the file, or name it with privacy.key_file"
        ) from error
    if known != fingerprint:
        raise ConfigError(
            f"{path} is not the secret that the vehicles in {data_dir} were named with: restore that one; to give all "
            f"vehicles new names, remove {check}"
        )
    return secret


def _read(path: Path) -> bytes:
    text = path.read_text().strip()
    if not _HEX.fullmatch(text):
        raise ConfigError(f"{path} must hold {2 * SECRET_BYTES} hexadecimal digits, as `openssl rand -hex 32` prints")
    return bytes.fromhex(text)
