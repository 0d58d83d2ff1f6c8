# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Site scripts that print the standard JSON, for every scheduler that is not known here."""
