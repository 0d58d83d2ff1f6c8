# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger service, ``hpcbridge-ledgerd``: admit → order → apply → store → sign → publish.

One process, one event loop (``server.py``) for everything that speaks gRPC, and five threads: two that check signatures (``admission.py``),
the proposer, the applier and the signer. They meet at queues only. What a member gets as an answer is made by the signer thread, after the
store holds the entry and the checkpoint over it is signed.
"""
