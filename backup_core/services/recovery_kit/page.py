"""The recovery kit as one HTML file: no script, nothing loaded from anywhere, legible on paper."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from backup_core.services.recovery_kit.facts import Kit, KitRepository
from backup_core.services.recovery_kit.recipes import ask_for_secrets, with_davault, with_restic

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #1b1f24; background: #fff;
       max-width: 48rem; margin: 2rem auto; padding: 0 1.25rem; }
header { border-bottom: 3px solid #1b1f24; margin-bottom: 1.5rem; }
h1 { font-size: 1.9rem; margin: 0 0 .2rem; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.1rem 0 .3rem; }
p, ol, ul { margin: .4rem 0; } .quiet { color: #57606a; }
section { border: 1px solid #c9d1d9; border-radius: 8px; padding: .3rem 1.1rem 1rem; margin: 1.2rem 0; }
section h2 { margin-top: .8rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th { text-align: left; font-weight: 600; width: 11rem; vertical-align: top; padding: .25rem .8rem .25rem 0; }
td { padding: .25rem 0; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", "Noto Sans Mono CJK SC", monospace; font-size: .85em; }
pre { background: #f3f5f7; border: 1px solid #d5dbe1; border-radius: 6px; padding: .6rem .8rem; white-space: pre-wrap;
      overflow-wrap: anywhere; margin: .3rem 0; }
.warn { border-left: 5px solid #b42318; background: #fdf1f0; padding: .5rem .9rem; margin: .8rem 0; }
.blank { border-bottom: 1px solid #57606a; display: inline-block; width: 100%; height: 1.6em; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; } section { break-inside: avoid-page; }
               pre { background: #fff; } h2 { break-after: avoid; } }
"""


def render(kit: Kit) -> str:
    """The whole page."""
    title = "Recovery kit"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}, {escape(kit.hostname)}, {kit.made_at:%Y-%m-%d}</title><style>{_STYLE}</style></head><body>",
        f"<header><h1>{title}</h1><p class=quiet>Backups of <b>{escape(kit.hostname)}</b>, written down on "
        f"{kit.made_at:%Y-%m-%d at %H:%M}. How to get the files back when this machine is gone.</p></header>",
        _secrets_warning(kit),
        *(f"<p class=warn>{escape(note)}</p>" for note in kit.notes),
        _needs(kit),
        *(_repository(kit, repository, number) for number, repository in enumerate(kit.repositories, 1)),
        _footer(),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _secrets_warning(kit: Kit) -> str:
    if not kit.has_secrets:
        return ""
    return (
        "<p class=warn><b>This page contains passwords and keys.</b> Whoever reads it can read and delete all backups. "
        "Keep it locked up, print it on a printer you trust, and delete the file.</p>"
    )


def _needs(kit: Kit) -> str:
    items = [
        "any computer with Linux or macOS and access to the network",
        "the password of each account below",
        "the key of each repository below: <b>without it nobody can read the backups</b>",
    ]
    if kit.has_secrets:
        items[1:] = ["the secrets on this page"]
    where = "" if kit.has_secrets else "<p>Where the keys are kept (write it here):</p><p class=blank></p>"
    return f"<h2>What you need</h2><ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>{where}"


def _repository(kit: Kit, repository: KitRepository, number: int) -> str:
    client = repository.client
    rows = [
        ("Address", _code(client.url)),
        ("Folder", _code(repository.target_path)),
        ("Account", _code(client.username) if client.username else "none is needed"),
        ("Password", _secret(repository, "password")),
        ("Encryption", "AES-256, restic format version 2" if repository.encrypted else "<b>not encrypted</b>"),
    ]
    if repository.encrypted:
        rows.append(("Key", _secret(repository, "key")))
        if repository.key_id:
            rows.append(
                (
                    "Key fingerprint",
                    f"{_code(_grouped(repository.key_id[:16]))}<br><span class=quiet>the first digits of the key's id; "
                    "<code>restic key list</code> marks the key that was used</span>",
                )
            )
    if repository.repository_id:
        rows.append(("Repository id", _code(repository.repository_id[:16])))
    if repository.mirrors:
        places = "<br>".join(
            f"{_code(client.url)} folder {_code(path)}"
            + (f", account {_code(client.username)}" if client.username else "")
            for client, path in repository.mirrors
        )
        rows.append(("Copies", f"{places}<br><span class=quiet>the same commands work with these places</span>"))
    names = " · ".join(escape(c.name) for c in repository.configurations)
    return "\n".join(
        [
            f"<section><h2>{number}. {names}</h2>",
            _table(rows),
            "<h3>What is in it</h3>",
            _contents(repository),
            "<h3>First, in a terminal</h3>",
            _commands(ask_for_secrets(repository)) or "<p>Nothing to prepare.</p>",
            "<h3>With Davault: everything, with its history and plans</h3>",
            _commands(with_davault(kit, repository)),
            "<h3>With restic and rclone, when there is no Davault</h3>",
            _commands(with_restic(repository)),
            "</section>",
        ]
    )


def _contents(repository: KitRepository) -> str:
    rows = []
    for c in repository.configurations:
        newest = f"{c.newest:%Y-%m-%d %H:%M}" if c.newest else "none yet"
        counted = "1 backup" if c.backups == 1 else f"{c.backups} backups"
        sources = "<br>".join(_code(source) for source in c.sources)
        rows.append((escape(c.name), f"{sources}<br><span class=quiet>{counted}, newest: {newest}</span>"))
    return _table(rows)


def _secret(repository: KitRepository, which: str) -> str:
    if repository.secrets is not None:
        secret = repository.secrets.password if which == "password" else repository.secrets.key
        return _code(secret.reveal()) if secret is not None else "none"
    source = repository.password_source if which == "password" else repository.key_source
    if which == "password" and not source:
        return "none is needed"
    return f"<span class=quiet>not on this page; this machine has it from {_code(source or 'nowhere')}</span>"


def _footer() -> str:
    return (
        "<h2>Keep it true</h2><p>Make a new page after changing an account, a key or a configuration, and try it once "
        "a year on another computer: a kit that was never tried is a hope.</p>"
    )


def _commands(lines: Sequence[str]) -> str:
    return f"<pre>{escape(chr(10).join(lines), quote=False)}</pre>" if lines else ""


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows) + "</table>"


def _code(text: str) -> str:
    return f"<code>{escape(text, quote=False)}</code>"


def _grouped(digits: str) -> str:
    return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))
