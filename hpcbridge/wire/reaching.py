# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Why a ledger cannot be reached: its name, its port, its certificate. gRPC says only that it is not there."""

from __future__ import annotations

import socket
import ssl

from hpcbridge.errors import ConfigError, IdentityError, LedgerUnavailable
from hpcbridge.identity.certificates import certificate_to_pem
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.wire.client import Endpoint

_SECONDS = 5.0
_HOSTNAME_MISMATCH = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of openssl/x509_vfy.h."""
_TIME = {9, 10}
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


def reach(endpoint: Endpoint, identity: KeyDirectory) -> None:
    """Connects as far as TLS goes; ConfigError, IdentityError or LedgerUnavailable naming the first thing in the way."""
    host, _, port = endpoint.address.rpartition(":")
    context = ssl.create_default_context(cadata=certificate_to_pem(identity.load_authority()).decode())
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as plain:
            _shake_hands(endpoint, plain, context)
    except socket.gaierror as error:
        hint = "[[ledger]] address in the configuration; /etc/resolv.conf, /etc/hosts"
        raise ConfigError(f"{endpoint.address}: no such name: {error.strerror}", hint=hint) from error
    except ConnectionRefusedError as error:
        raise LedgerUnavailable(f"{endpoint.address}: nothing listens there", hint="is the port right, and the ledger running?") from error
    except TimeoutError as error:
        raise LedgerUnavailable(
            f"{endpoint.address}: no answer within {_SECONDS:g} s",
            hint="a firewall drops it, or the host is down: TCP to that port must get out",
        ) from error
    except OSError as error:
        raise LedgerUnavailable(f"{endpoint.address}: {error.strerror or error}", hint="routes and firewall of this host") from error


def _shake_hands(endpoint: Endpoint, plain: socket.socket, context: ssl.SSLContext) -> None:
    try:
        with context.wrap_socket(plain, server_hostname=endpoint.server_name):
            return
    except ssl.SSLCertVerificationError as error:
        told = f"{endpoint.address}: its certificate is not for {endpoint.server_name!r}"
        if error.verify_code in _HOSTNAME_MISMATCH:
            hint = "[[ledger]] server_name must be one of [listen] server_names of the ledger"
            raise ConfigError(told, hint=hint) from error
        if error.verify_code in _TIME:
            hint = "is the clock of this host right? date"
            raise IdentityError(f"{endpoint.address}: its certificate is not valid now", hint=hint) from error
        raise IdentityError(
            f"{endpoint.address}: its certificate is not of the CA that was pinned at enrolment",
            hint="another ledger answers there, or somebody stands in between",
        ) from error
    except ssl.SSLError as error:
        raise LedgerUnavailable(
            f"{endpoint.address}: does not speak TLS as a ledger does: {error.reason or error}", hint="is this the ledger's port (7443)?"
        ) from error
