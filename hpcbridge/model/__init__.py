# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Words: frozen dataclasses and enums of the whole system. No I/O, no clock, no knowledge of any format."""
