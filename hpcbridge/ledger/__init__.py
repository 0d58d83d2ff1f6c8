# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The log: tree, proofs, checkpoints, receipts, store, order. It knows bytes and numbers, not jobs."""
