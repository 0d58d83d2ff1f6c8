# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The edge to gRPC: generated stubs, conversion, credentials, the client and the control socket."""
