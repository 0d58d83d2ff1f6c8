# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Which proto message each word travels as, and which word the body of each payload type is. A new word is a line here."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from hpcbridge.model.clusters import (
    ClusterState,
    Frontend,
    Program,
    Queue,
    QueueHardware,
    QueueOffer,
    Rates,
    Registration,
    SchedulerInfo,
)
from hpcbridge.model.entries import Entry
from hpcbridge.model.identities import CertificateFacts
from hpcbridge.model.jobs import Job
from hpcbridge.model.market import (
    AccountRenewal,
    AccountReport,
    Balance,
    Cancellation,
    ContractActivation,
    Credit,
    Offer,
    OfferedQueue,
    ProgramDemand,
    QueueDrift,
    QueueDrifts,
    Rental,
    RentalOrder,
    Request,
    RequestRecord,
    Settlement,
    StatementLine,
    UsageLine,
    UsageNotice,
    WhyNot,
)
from hpcbridge.model.nodes import Node
from hpcbridge.model.transactions import (
    Decision,
    Document,
    Documents,
    Enrolment,
    Envelope,
    EpochStart,
    Gap,
    Genesis,
    Header,
    JobChange,
    JobChanges,
    JobWatch,
    NodeChange,
    NodeChanges,
    Parameters,
    Payload,
    PayloadType,
    Renewal,
    Revocation,
    Seen,
    SystemNode,
    Tick,
    Token,
)
from hpcbridge.wire.generated import clusters_pb2, entries_pb2, jobs_pb2, market_pb2, transactions_pb2

MESSAGES: Mapping[type, type[Message]] = {
    Job: jobs_pb2.Job,
    Node: clusters_pb2.Node,
    Queue: clusters_pb2.Queue,
    QueueHardware: clusters_pb2.QueueHardware,
    SchedulerInfo: clusters_pb2.SchedulerInfo,
    Frontend: clusters_pb2.Frontend,
    ClusterState: clusters_pb2.ClusterState,
    Program: clusters_pb2.Program,
    Rates: clusters_pb2.Rates,
    QueueOffer: clusters_pb2.QueueOffer,
    QueueDrift: clusters_pb2.QueueDrift,
    QueueDrifts: clusters_pb2.QueueDrifts,
    Registration: clusters_pb2.Registration,
    Seen: transactions_pb2.Seen,
    Header: transactions_pb2.Header,
    Payload: transactions_pb2.Payload,
    Envelope: transactions_pb2.Envelope,
    SystemNode: transactions_pb2.SystemNode,
    Genesis: transactions_pb2.Genesis,
    Gap: transactions_pb2.Gap,
    EpochStart: transactions_pb2.EpochStart,
    Tick: transactions_pb2.Tick,
    Token: transactions_pb2.Token,
    CertificateFacts: transactions_pb2.CertificateFacts,
    Enrolment: transactions_pb2.Enrolment,
    Renewal: transactions_pb2.Renewal,
    Revocation: transactions_pb2.Revocation,
    Decision: transactions_pb2.Decision,
    Document: transactions_pb2.Document,
    Documents: transactions_pb2.Documents,
    Parameters: transactions_pb2.Parameters,
    NodeChange: transactions_pb2.NodeChange,
    NodeChanges: transactions_pb2.NodeChanges,
    JobChange: transactions_pb2.JobChange,
    JobChanges: transactions_pb2.JobChanges,
    JobWatch: transactions_pb2.JobWatch,
    Entry: entries_pb2.Entry,
    ContractActivation: market_pb2.ContractActivation,
    Credit: market_pb2.Credit,
    Request: market_pb2.Request,
    RentalOrder: market_pb2.RentalOrder,
    Cancellation: market_pb2.Cancellation,
    AccountReport: market_pb2.AccountReport,
    AccountRenewal: market_pb2.AccountRenewal,
    OfferedQueue: market_pb2.OfferedQueue,
    Offer: market_pb2.Offer,
    WhyNot: market_pb2.WhyNot,
    RequestRecord: market_pb2.RequestRecord,
    ProgramDemand: market_pb2.ProgramDemand,
    Rental: market_pb2.Rental,
    UsageLine: market_pb2.UsageLine,
    StatementLine: market_pb2.StatementLine,
    Settlement: market_pb2.Settlement,
    UsageNotice: market_pb2.UsageNotice,
    Balance: market_pb2.Balance,
}
"""Every word that travels or is stored as a proto message."""

BODY_TYPES: Mapping[PayloadType, type] = {
    PayloadType.GENESIS: Genesis,
    PayloadType.EPOCH_START: EpochStart,
    PayloadType.TICK: Tick,
    PayloadType.TOKEN: Token,
    PayloadType.ENROLMENT: Enrolment,
    PayloadType.RENEWAL: Renewal,
    PayloadType.REVOCATION: Revocation,
    PayloadType.DECISION: Decision,
    PayloadType.PARAMETERS: Parameters,
    PayloadType.REGISTRATION: Registration,
    PayloadType.CLUSTER_STATE: ClusterState,
    PayloadType.NODE_CHANGES: NodeChanges,
    PayloadType.JOB_CHANGES: JobChanges,
    PayloadType.JOB_WATCH: JobWatch,
    PayloadType.GAP: Gap,
    PayloadType.CONTRACT: ContractActivation,
    PayloadType.CREDIT: Credit,
    PayloadType.REQUEST: Request,
    PayloadType.RENTAL: RentalOrder,
    PayloadType.CANCELLATION: Cancellation,
    PayloadType.ACCOUNT: AccountReport,
    PayloadType.ACCOUNT_RENEWAL: AccountRenewal,
    PayloadType.DOCUMENTS: Documents,
}
"""Which word a body of each payload type is."""

ITEM_TYPES: Mapping[PayloadType, type] = {
    PayloadType.NODE_CHANGES: NodeChange,
    PayloadType.JOB_CHANGES: JobChange,
}
"""Which word an item is, for bodies with items."""
