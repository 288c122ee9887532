"""What one account on a server allows, and how all who use it share that.

An account is a server and a user name; several clients, configurations, processes and machines may use the same one.

    identity    which account a client belongs to
    options     how a client reaches its server
    forecast    how long so many requests and bytes will take, and whether the month's traffic suffices
    traffic     bytes sent and received in a month
    accounts    ``Accounts``: all of it for the services above
"""

from __future__ import annotations
