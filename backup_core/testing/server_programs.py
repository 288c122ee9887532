"""WebDAV servers of other makers, each started on a free loopback port in a folder of its own."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup_core.clock import SystemClock
from backup_core.deferred import dataclass

USER, PASSWORD = "u", "p"
_MODULES = Path("/usr/lib/apache2/modules")
_SABRE = Path("/usr/share/php/Sabre/autoload.php")
_NEPHELE = Path(__file__).resolve().parents[2] / ".cache" / "nephele"
_NEPHELE_PACKAGE = _NEPHELE / "node_modules" / "nephele" / "package.json"
_NGINX_DAV = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")


@dataclass(frozen=True)
class Server:
    """A running server."""

    kind: str
    url: str
    served: Path
    """The folder behind it on disk."""
    access_log: Path | None = None
    """One line for each request, beginning with its method, where the server writes one."""


@dataclass(frozen=True)
class Recipe:
    """How to start one kind of server in the foreground."""

    command: Callable[[Path, int], list[str]]
    """Writes what configuration it needs into the folder, and gives the command."""
    needs: tuple[Path | str, ...]
    """Programs and files without which it cannot run."""
    access_log: str = ""


@contextmanager
def running(kind: str) -> Iterator[Server]:
    """The server in a new folder, stopped and removed at the end; skips the test when it is not installed."""
    recipe = RECIPES[kind]
    for need in recipe.needs:
        if not (need.exists() if isinstance(need, Path) else shutil.which(need)):
            pytest.skip(f"{need} is not installed: tools/test-programs installs it")
    # Not below pytest's own folder, which every session closes to other users: servers started as root serve as one.
    with tempfile.TemporaryDirectory(prefix=f"davault-{kind}-") as name, _started(recipe, Path(name)) as port:
        log = Path(name, recipe.access_log) if recipe.access_log else None
        yield Server(kind, f"http://127.0.0.1:{port}/", Path(name, "root"), log)


@contextmanager
def _started(recipe: Recipe, folder: Path) -> Iterator[int]:
    port = _free_port()
    (folder / "root").mkdir()
    command = recipe.command(folder, port)
    _give_to_worker(folder)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            _wait_until_it_answers(process, port, folder)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    clock = SystemClock()
    for _ in range(400):
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("OPTIONS", "/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            clock.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    pytest.fail(f"the server did not start: {(folder / 'output').read_text(errors='replace')[-2000:]}")


def _worker() -> str:
    return "www-data" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


def _give_to_worker(folder: Path) -> None:
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, _worker(), _worker())


def _htpasswd(folder: Path) -> Path:
    path = folder / "htpasswd"
    digest = hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).digest()
    path.write_text(f"{USER}:{{SHA}}{base64.b64encode(digest).decode()}\n")
    return path


def _apache_command(folder: Path, port: int, *, auth: str, modules: tuple[str, ...], rest: str) -> list[str]:
    base = ("authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "auth_digest", "alias", "dir", "mime")
    loads = "\n".join(f"LoadModule {m}_module {_MODULES}/mod_{m}.so" for m in (*base, *modules))
    secret = hashlib.md5(f"{USER}:dav:{PASSWORD}".encode(), usedforsecurity=False).hexdigest()
    (folder / "htdigest").write_text(f"{USER}:dav:{secret}\n")
    provider = (
        f"AuthDigestProvider file\nAuthUserFile {folder}/htdigest"
        if auth == "Digest"
        else f"AuthBasicProvider file\nAuthUserFile {_htpasswd(folder)}"
    )
    as_user = f"User {_worker()}\nGroup {_worker()}" if os.getuid() == 0 else ""
    (folder / "httpd.conf").write_text(
        f"""
ServerRoot {folder}
Listen 127.0.0.1:{port}
ServerName 127.0.0.1
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
{loads}
<IfModule !log_config_module>
  LoadModule log_config_module {_MODULES}/mod_log_config.so
  LoadModule logio_module {_MODULES}/mod_logio.so
</IfModule>
LogFormat "%m %U %>s %I %O" plain
CustomLog {folder}/access.log plain
TypesConfig /etc/mime.types
{as_user}
DocumentRoot {folder}/root
<Directory {folder}/root>
  AuthType {auth}
  AuthName dav
  {provider}
  Require valid-user
</Directory>
{rest}
"""
    )
    return ["apache2", "-f", str(folder / "httpd.conf"), "-D", "FOREGROUND"]


def _apache(folder: Path, port: int, auth: str = "Basic") -> list[str]:
    (folder / "lock").mkdir()
    rest = f"DavLockDB {folder}/lock/DavLock\n<Directory {folder}/root>\nDav On\nDirectoryIndex disabled\n</Directory>"
    return _apache_command(folder, port, auth=auth, modules=("mpm_event", "dav", "dav_fs"), rest=rest)


def _apache_digest(folder: Path, port: int) -> list[str]:
    return _apache(folder, port, auth="Digest")


def _nginx(folder: Path, port: int) -> list[str]:
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (folder / "buffers" / name).mkdir(parents=True)
    kinds = {"client_body": "body", "proxy": "proxy", "fastcgi": "fastcgi", "uwsgi": "uwsgi", "scgi": "scgi"}
    paths = "\n".join(f"  {kind}_temp_path {folder}/buffers/{name};" for kind, name in kinds.items())
    as_user = f"user {_worker()};" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"""
{as_user}
load_module {_NGINX_DAV};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
{paths}
  log_format plain '$request_method $uri $status';
  access_log {folder}/access.log plain;
  dav_ext_lock_zone zone=l:1m;
  server {{
    listen 127.0.0.1:{port};
    server_name 127.0.0.1;
    root {folder}/root;
    client_max_body_size 8m;
    auth_basic dav;
    auth_basic_user_file {_htpasswd(folder)};
    location / {{
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
      dav_ext_lock zone=l;
      dav_access user:rw group:r;
      autoindex on;
    }}
  }}
}}
"""
    )
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def _lighttpd(folder: Path, port: int) -> list[str]:
    (folder / "up").mkdir()
    (folder / "users").write_text(f"{USER}:{PASSWORD}\n")
    (folder / "lighttpd.conf").write_text(
        f"""
server.modules = ( "mod_auth", "mod_authn_file", "mod_webdav", "mod_accesslog" )
server.document-root = "{folder}/root"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{folder}/error.log"
accesslog.filename = "{folder}/access.log"
accesslog.format = "%m %U %s"
server.upload-dirs = ( "{folder}/up" )
webdav.activate = "enable"
webdav.is-readonly = "disable"
webdav.sqlite-db-name = "{folder}/webdav.db"
auth.backend = "plain"
auth.backend.plain.userfile = "{folder}/users"
auth.require = ( "" => ( "method" => "basic", "realm" => "dav", "require" => "valid-user" ) )
"""
    )
    return ["lighttpd", "-D", "-f", str(folder / "lighttpd.conf")]


def _sabre(folder: Path, port: int) -> list[str]:
    (folder / "data").mkdir()
    (folder / "server.php").write_text(
        f"""<?php
error_reporting(0); ini_set('display_errors', '0'); date_default_timezone_set('UTC');
require_once '{_SABRE}';
$server = new \\Sabre\\DAV\\Server(new \\Sabre\\DAV\\FS\\Directory('{folder}/root'));
$server->setBaseUri('/');
$server->addPlugin(new \\Sabre\\DAV\\Locks\\Plugin(new \\Sabre\\DAV\\Locks\\Backend\\File('{folder}/data/locks')));
$server->exec();
"""
    )
    limits = ["-d", "upload_max_filesize=0", "-d", "post_max_size=0"]
    return ["php", *limits, "-S", f"127.0.0.1:{port}", str(folder / "server.php")]


def _rclone(folder: Path, port: int) -> list[str]:
    login = ["--user", USER, "--pass", PASSWORD]
    address = ["--addr", f"127.0.0.1:{port}", "--config", "/dev/null"]
    return ["rclone", "serve", "webdav", str(folder / "root"), *address, *login]


def _wsgidav(folder: Path, port: int) -> list[str]:
    configuration = {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(folder / "root")},
        "http_authenticator": {"domain_controller": None, "accept_basic": True, "accept_digest": True},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "lock_storage": True,
        "verbose": 1,
    }
    (folder / "wsgidav.json").write_text(json.dumps(configuration))
    return [sys.executable, "-m", "wsgidav.server.server_cli", "--config", str(folder / "wsgidav.json")]


def _nephele(folder: Path, port: int) -> list[str]:
    return ["node", str(_NEPHELE / "server.mjs"), str(port), str(folder / "root")]


RECIPES = {
    "apache": Recipe(_apache, ("apache2", _MODULES / "mod_dav_fs.so"), access_log="access.log"),
    "apache-digest": Recipe(_apache_digest, ("apache2", _MODULES / "mod_dav_fs.so"), access_log="access.log"),
    "nginx": Recipe(_nginx, ("nginx", _NGINX_DAV), access_log="access.log"),
    "lighttpd": Recipe(_lighttpd, ("lighttpd", Path("/usr/lib/lighttpd/mod_webdav.so")), access_log="access.log"),
    # The workers of PHP's own server outlive it when it is told to stop; one at a time is enough.
    "sabre": Recipe(_sabre, ("php", _SABRE)),
    "rclone": Recipe(_rclone, ("rclone",)),
    "wsgidav": Recipe(_wsgidav, ()),
    "nephele": Recipe(
        _nephele, ("node", _NEPHELE / "node_modules" / "nephele" / "package.json", _NEPHELE / "server.mjs")
    ),
}
