# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Identity: keys and certificates of installations, the consortium's CA, sealed envelopes, enrolment tokens.

No clock in here: every time is an argument. Randomness is used only to make keys and serial numbers.
"""
