# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The daemon on a cluster's frontend: watches the scheduler, keeps what changed in its spool, and brings it to the ledger."""
