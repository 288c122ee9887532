"""Three machines and a WebDAV server as network namespaces of this one, and what happens when they fail.

python -m tools.three_hosts [--keep]       needs root, iproute2, PostgreSQL, nginx, curl, openssl and restic
"""
