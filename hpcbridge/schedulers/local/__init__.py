# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Our own host as a cluster of one node, its sessions as jobs: everything can be tried without a scheduler."""
