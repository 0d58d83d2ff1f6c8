# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl`: one file per noun, what they share in context and output."""
