# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""hpcbridge: clusters of different owners form one market whose history anyone can verify."""

__version__ = "0.1.0"
