# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Writing to the ledger with an identity folder: its numbers, its journal, its receipts. Command line and Python client share it."""
