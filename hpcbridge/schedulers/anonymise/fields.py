# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the fields of scheduler reports hold: what must survive in a recording that is sent away, and what names somebody.

One table for all schedulers, by the name of the field in lower case. A field that is in no table is free text: whatever it holds is
replaced, unless it is a plain figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto


class Kind(Enum):
    """What a value may hold, and so what is done to it."""

    KEEP = auto()
    """Structure, states, figures: stays byte for byte."""
    MIXED = auto()
    """The scheduler's own notation, in which the name of a node or a person may stand: that alone is replaced."""
    HOST = auto()
    """Nodes, also as a range: letters are replaced, figures and brackets stay, because ranges count."""
    WORD = auto()
    """An owner, account or group: letters and figures are replaced."""
    NAME = auto()
    """The name of a job: as WORD, but not looked for elsewhere, because jobs are called `test` and `run`."""
    OWNER_AT_HOST = auto()
    """`alice@head1.example.org`, also several."""
    JOB_ID = auto()
    """An id that may end in the name of a server: figures stay."""
    STATE = auto()
    """A state word, perhaps with the number of the user who cancelled: `CANCELLED by 2001`."""
    NESTED = auto()
    """`key=value,key=value` of TORQUE's `status`: each value by its own key."""
    MESSAGE = auto()
    """Written by the scheduler or an administrator: known words stay, all others are replaced."""
    SECRET = auto()
    """An address or a number of a user: figures are replaced too."""
    FREE = auto()
    """Anything: letters and figures are replaced."""


_KEPT = """
time jobid array_job_id array_task_id het_job_id het_job_offset submit_time eligible_time start_time end_time time_limit time_left
cpus tres_alloc tres_per_node tres_per_job tres_per_task min_memory exit_code requeue restart_count restartcnt timeused
jobidraw exitcode derivedexitcode submit eligible start end elapsed elapsedraw suspended timelimit timelimitraw cputimeraw
alloccpus allocnodes alloctres reqtres reqcpus reqnodes reqmem restarts
arch gres gresdrain gresused cfgtres version hidden default maxtime maxnodes minnodes defaulttime maxcpuspernode totalcpus totalnodes
tres oversubscribe preemptmode overtimelimit exclusiveuser lln rootonly disablerootjobs reqresv qos_flags preempt_mode
jobstate runtime timemin submittime eligibletime accruetime starttime endtime deadline suspendtime secspresuspend lastschedeval
numnodes numcpus numtasks cpus/task reqb:s:c:t socks/node ntaskspern:b:s:c corespec mincpusnode minmemorynode minmemorycpu mintmpdisknode
arrayjobid arraytaskid arraytaskthrottle hetjobid hetjoboffset hetjobidset tresperjob trespernode trespertask power batchflag reboot
delayboot requeued minjobage accountingstoragetype selecttype
job_state hold_types checkpoint join_path keep_files mail_points rerunable queue_type substate exit_status array_indices_submitted
array_indices_remaining array_state_count job_array_request run_count start_count ctime mtime qtime etime stime start_time comp_time
obittime history_timestamp eligible_time accrue_type fault_tolerant walltime cput mem vmem pmem pvmem nodect ncpus ngpus procs ppn
mpiprocs ompthreads gpus place preempt_targets block topjob_ineligible estimated resources_used total_jobs state_count
max_user_queuable max_running max_run max_queued max_run_res max_user_run max_array_size enabled started
power_state np ntype resv_enable sharing license pcpus totmem availmem physmem opsys
server_state scheduling pbs_version keep_completed log_events node_fail_requeue job_history_enable job_history_duration
job_history_enable scheduler_iteration timestamp
jb_job_number jat_prio jb_submission_time jat_start_time slots tasks requested_pe granted_pe binding qtype qtype_string slots_used
slots_resv slots_total load_avg arch_string num_proc m_socket m_core m_thread mem_total mem_used swap_total swap_used
state_string pe_master taskid priority predecessor_jobs_req xml pe_list initial_state rerun notify
jobnumber qsub_time failed flush_time seq_no reporting_params granted_pe arid ar_sub_time maxvmem
cluster_job job_id array_job_id array_index array_pending het_job_id het_index phase outcome gpu_type memory_bytes cores
submitted_at started_at ended_at wall_seconds walltime_limit_seconds exit_signal availability native_state open zone
observed_at cores_total cores_used cores_available gpus_total gpus_used memory_bytes_total memory_bytes_used jobs_queued jobs_running
max_cores max_walltime_seconds min_job_age_seconds accounting problems st_name
id array_task_id array_tasks_waiting array_tasks_parallel heterogeneous_id heterogeneous_offset cpus num_nodes memory gres_per_node
resource_sharing time_limit requeue_count exit_code_signal effective_cpus total_cpus allocated_cpus configured_gres allocated_gres
allocated_tres real_memory allocated_memory max_time max_nodes max_cpus_per_node max_cpus_per_socket query pyslurm gpu cpu_ms end begin
mem_f/t unexpanded remaining session qtime start_count end_time queue_rank
"""
_MIXED = """
reason partition partitions partitionname queue queues qname hard_req_queue soft_req_queue default_queue route_destinations queue_name
nodes_spec neednodes select schedselect exec_gpus exec_vnode hard_request soft_request h_rt s_rt h_cpu s_cpu h_vmem s_vmem
complex_values dependency depend def_hard_request clusters features_req hetjobpart nodes slots category state_reason gpu_queues
"""
_HOSTS = """
nodelist nodename nodehostname batchhost reqnodelist excnodelist schednodelist allocnode:sid exec_host exec_host2 server submit_host
host vnode mom pbs_server hostname hostlist name server_host jobs nodelist(reason) acl_hosts submit_hosts nodeaddr_name node_name
slurmctldhost cluster_name clustername allocated_nodes gpu_nodes
"""
_WORDS = """
user username account accounts allowaccounts denyaccounts allowgroups euser egroup jb_owner job_owner owner group project department
account_name jb_project jb_account jb_department job_project user_list group_list userlist user_lists xuser_lists owner_list projects
xprojects acl_users acl_groups allowusers
"""
_NAMES = "jobname job_name jb_name full_job_name job_name_full name_of_job"
_OWNERS_AT_HOSTS = "managers operators job_owner_at qinstance_name mail_users last_modified_by"
_JOB_IDS = "job_id array_id job_array_id predecessor_jobs"
_MESSAGES = "comment note message messages error warning text explain ad_predecessor_jobs"
_SECRETS = "nodeaddr userid groupid uid gid mcs_label ip address"

_FREE = """
administrator_mail algorithm allocation_rule auto_user_default_project auto_user_delete_time auto_user_fshare auto_user_oticket calendar
ckpt_list compensation_factor control_slaves cpu default_duration delegated_file_staging display_win_gui enforce_project enforce_user
epilog exclusive execd_params execd_spool_dir finished_jobs flush_finish_sec flush_submit_sec gid_range h_core h_data h_fsize h_rss
h_stack halflife_decay_list halftime io iow job_is_first_task job_load_adjustments jsv_allowed_mod jsv_url load_adjustment_decay_time
load_formula load_long load_medium load_report_time load_scaling load_sensor load_short load_thresholds load_values login_shells
loglevel m_topology m_topology_inuse mailer max_aj_instances max_aj_tasks max_functional_jobs_to_schedule max_jobs
max_pending_tasks_per_job max_reservation max_u_jobs max_unheard maxujobs mem_free min_cpu_interval min_gid min_uid np_load_avg
np_load_long np_load_medium np_load_short nsuspend pag_cmd params pe_name policy_hierarchy processors prolog qlogin_command
qlogin_daemon qmaster_params qsort_args queue_sort_method report_pjob_tickets report_variables reprioritize reprioritize_interval
reschedule_unknown resume_method rlogin_command rlogin_daemon rsh_command rsh_daemon ru_idrss ru_inblock ru_ismrss ru_isrss ru_ixrss
ru_majflt ru_maxrss ru_minflt ru_msgrcv ru_msgsnd ru_nivcsw ru_nsignals ru_nswap ru_nvcsw ru_oublock ru_stime ru_utime ru_wallclock
s_core s_data s_fsize s_rss s_stack schedd_job_info schedule_interval set_token_cmd share_functional_shares share_override_tickets shell
shell_start_mode shepherd_cmd start_proc_args starter_method stop_proc_args subordinate_list suspend_interval suspend_method
suspend_thresholds swap_free swap_rate swap_rsvd terminate_method tmpdir token_extend_time urgency_slots usage_scaling usage_weight_list
virtual_free virtual_total virtual_used weight_deadline weight_department weight_job weight_priority weight_project weight_ticket
weight_tickets_functional weight_tickets_share weight_urgency weight_user weight_waiting_time xterm
"""
"""Fields of Grid Engine's columns that nobody needs to read: their names stay, so that the form is still to be seen."""

FIELDS: Mapping[str, Kind] = {
    name: kind
    for names, kind in (
        (_KEPT, Kind.KEEP),
        (_MIXED, Kind.MIXED),
        (_HOSTS, Kind.HOST),
        (_WORDS, Kind.WORD),
        (_NAMES, Kind.NAME),
        (_OWNERS_AT_HOSTS, Kind.OWNER_AT_HOST),
        (_JOB_IDS, Kind.JOB_ID),
        (_MESSAGES, Kind.MESSAGE),
        (_SECRETS, Kind.SECRET),
        (_FREE, Kind.FREE),
        ("state", Kind.STATE),
        ("status", Kind.NESTED),
    )
    for name in names.split()
} | {
    "job_owner": Kind.OWNER_AT_HOST,
    "mem f/t": Kind.KEEP,
    "ncpus f/t": Kind.KEEP,
    "ngpus f/t": Kind.KEEP,
    "nmics f/t": Kind.KEEP,
    "ended:name": Kind.NAME,
    "accounting:owner": Kind.OWNER_AT_HOST,
    "slurm:name": Kind.NAME,
    "slurm:nodes": Kind.KEEP,
    "slurm:nodelist": Kind.HOST,
    "slurm:jobs": Kind.FREE,
    "partitionname:nodes": Kind.HOST,
    "jobid:comment": Kind.FREE,  # a user's, not the scheduler's
    "nodename:reason": Kind.MESSAGE,
    "jobs:name": Kind.NAME,
    "queues:name": Kind.MIXED,
    "jobs:nodes": Kind.HOST,
    "queues:nodes": Kind.HOST,
    "jobs:reason": Kind.MESSAGE,
    "nodes:reason": Kind.MESSAGE,
}
"""Kind by field name; `form:field` where the same name means something else in that form."""

NEUTRAL = frozenset(
    """
    N/A n/a NONE None none (null) null nan NaN inf -inf infinity Infinity INFINITY UNLIMITED INFINITE Unknown UNKNOWN NOT_SET INVALID
    YES NO yes no ALL EXCLUSIVE TRUE FALSE True False true false UNDEFINED undefined root nobody slurm sge global localhost template
    localhost.localdomain defaultdepartment _pbs_project_default Batch Execution Route @allhosts ANY FORCE OFF ON None\tassigned
    """.split()  # noqa: SIM905
)
"""Values that say nothing about anybody, whatever field they fill."""

VOCABULARY = frozenset(
    """
    a about above access accounting acct active additional address after again age agent all alloc allocated allowed ambiguous amount an
    and any apr are argument array arrayjobid as assumedly at attributes aug auth authentication authorized available bad be because been
    before began begin bin binding boot both buffers but by bytes call can cancelled cannot cest cet change characters chunk cluster
    clustername codes comm command commlib communicate complete completed component conf config configuration conn connect connection
    contact controller could couldn cpu cpus cput create credential daemon data database date dbd dec delete deleted denied depend
    dependency destination did died directory disk do does done down drain drained draining due edt elapsed empty enabled encode end ended
    enforced enough entry errno error escape est event exceeded execd execution exist exit exited exiting expired explain expression ext
    fail failed failure fatal feb fed field file find finished first following for format found free fri friday from full get given gmt
    got gpu gpus gres group h had hard has have held help hold host hostname hours id ids if ignoring in info information init instance
    insufficient internal invalid io iow is it jan job jobid jobs json jul jun kernel kill killed killing known last launch left libraries
    license limit limits line list load local long lost low maintenance mar master matches matching may medium mem memory message min
    minutes missing mode module mom mon monday more mpiprocs msg munge munged name ncpus needs network never ngpus no node nodect nodes
    non none not nov now null num oct of off old on one only open opened operation opt option options or other out output over pack
    parallel parameters parse part partition partitions path pbs pbsnodes pdt pe peer pending permission permitted persist persistent pid
    ping pipe please port ppn prefix primary print priority problem process procs protocol pst purged qacct qalter qconf qdel qhost
    qmaster qmgr qrerun qrls qstat qsub queue queued queues range reached reason rebooted received records refused register registered
    rejected released remote req request requested requeued reservation reset resolve resource resources respond responding restart
    restarted retrying returned rt run running s sacct sacctmgr sat saturday scheduled scheduler scontrol sdiag sec secondary seconds
    select selected send sending sep server service sge short show shutdown sig signal sinfo single size slot slots slurm slurmctld slurmd
    slurmdbd socket soft some space specific specification specified spool squeue stale start started state statistics status stderr stdin
    stdout step stime stopped submit submitted such sun sunday suspended swap switch system talking task tasks temporarily terminated the
    there these this threads thu thursday time timed timeout timestamp to too torque total trqauthd try tue tuesday type unable
    unauthorized unexpected unexpectedly unix unknown unreachable unrecognized until up update usage use user users using utc utime v
    value version vmem vnode wait waiting wall wallclock walltime was wed wednesday were which while will with without wlm write wrong x
    xml you your zero zombie
    """.split()  # noqa: SIM905
)
"""Words of the schedulers' own messages, in lower case."""
