# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The contract: what everybody agreed on, as pure functions from state, caller and body to effects."""
