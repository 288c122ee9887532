"""The commands of a recovery kit, ready for a shell. Secrets are typed in when asked for, never part of a command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from backup_core.services.recovery_kit.facts import Kit, KitRepository
from backup_core.storage.registry import WEBDAV_SCHEMES, join_url, scheme_of

_VENDORS = {"nextcloud": "nextcloud", "owncloud": "owncloud"}
_REMOTE = "kit"


def ask_for_secrets(repository: KitRepository) -> list[str]:
    """Lines that read the secrets into variables without showing them."""
    lines = []
    if repository.client.username:
        lines.append('read -rsp "Password of the account: " DAV_PASSWORD && export DAV_PASSWORD')
    if repository.encrypted:
        lines.append('read -rsp "Key of the repository: " DAVAULT_KEY && export DAVAULT_KEY')
    return lines


def with_davault(kit: Kit, repository: KitRepository) -> list[str]:
    """Lines that rebuild this program's home and restore everything."""
    client = repository.client
    words = ["davault", "recover", "--url", client.url, "--path", repository.target_path]
    if client.username:
        words += ["--username", client.username, "--password-env", "DAV_PASSWORD"]
    if repository.encrypted:
        words += ["--key-env", "DAVAULT_KEY"]
    if client.ca_bundle:
        words += ["--ca-bundle", client.ca_bundle]
    if not client.verify:
        words.append("--no-verify")
    if client.allow_insecure:
        words.append("--allow-insecure")
    lines = ["python3 -m pip install davault", _line(words), "davault list"]
    lines += [_line(["davault", "restore", c.name, "--target", "restored"]) for c in repository.configurations]
    if kit.plans:
        lines.append("davault dr list    # recovery plans: " + ", ".join(name for _, name in kit.plans))
    return lines


def with_restic(repository: KitRepository) -> list[str]:
    """Lines that do the same with restic (and rclone) alone."""
    remote, place = _remote(repository)
    restic = ["restic", "-r", place]
    if repository.encrypted:
        key = ['export RESTIC_PASSWORD="$DAVAULT_KEY"']
    else:
        key = ["# the repository is not encrypted; this needs restic 0.17 or newer"]
        restic.append("--insecure-no-password")
    lines = [*remote, *key, _line([*restic, "snapshots"])]
    for configuration in repository.configurations:
        tag = f"config:{configuration.name}"
        lines.append(_line([*restic, "restore", "latest", "--tag", tag, "--target", f"restored/{configuration.name}"]))
    return lines


def _remote(repository: KitRepository) -> tuple[list[str], str]:
    client = repository.client
    scheme = scheme_of(client.url)
    if scheme == "file":
        return [], unquote(urlsplit(join_url(client.url, repository.target_path)).path)
    if scheme not in WEBDAV_SCHEMES:
        return [f"# configure restic for {scheme}:// yourself"], join_url(client.url, repository.target_path)
    secure = scheme in ("https", "davs", "webdavs")
    url = ("https" if secure else "http") + "://" + client.url.partition("://")[2]
    settings = {"TYPE": "webdav", "URL": url, "VENDOR": _VENDORS.get(client.service_type, "other")}
    if client.username:
        settings["USER"] = client.username
    lines = [f"export RCLONE_CONFIG_{_REMOTE.upper()}_{name}={shlex.quote(value)}" for name, value in settings.items()]
    if client.username:
        lines.append(f'export RCLONE_CONFIG_{_REMOTE.upper()}_PASS="$(printf %s "$DAV_PASSWORD" | rclone obscure -)"')
    if client.ca_bundle:
        lines.append(f"export RCLONE_CA_CERT={shlex.quote(client.ca_bundle)}")
    if not client.verify:
        lines.append("export RCLONE_NO_CHECK_CERTIFICATE=true")
    return lines, f"rclone:{_REMOTE}:{repository.target_path.strip('/')}"


def _line(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
