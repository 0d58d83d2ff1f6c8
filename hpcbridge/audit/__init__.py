# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Proving what happened: a log verified from its bytes, its state recomputed by replay, and the file it travels in."""
