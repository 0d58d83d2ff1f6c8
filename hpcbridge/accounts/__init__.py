# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridge-accounts`, the one program of hpcbridge that has privileges: it makes, renews and closes accounts by the site's scripts."""
