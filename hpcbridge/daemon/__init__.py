# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Daemon: supervised worker threads, orderly stop, and the two doors to systemd and psutil. Knows nothing of jobs or ledgers."""
