# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a hostile user or a careless administrator writes where a text may stand, as bytes."""

from __future__ import annotations

BLANKS = [b"", b" ", b"\n", b"\n\n\n", b"\r\n", b"\t", b"x\ny", b"x\\\ny = z", b"ends with \\", b"\x0b\x0c"]
CONTROL = [bytes([code]) for code in (0, 1, 7, 8, 27, 31, 127)] + [
    bytes(range(1, 32)),
    b"a\x01b\x1b[31mc",
    b"\x1b[2J\x1b]0;title\x07",
    b"a\x00b",
]
ENCODINGS = [b"caf\xe9", b"\xff\xfe\x80", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", bytes(range(128, 256))]
UNICODE = [
    text.encode()
    for text in ("\u202egnp.exe", "\u2028line\u0085separator", "ünïcödé 日本 🚀", "\ufeff\u200b\u2066", "\u0000".replace("\0", ""))
]
QUOTES = [b"'", b'"', b'"""', b"\\", b'\\\\"', b"'; DROP TABLE jobs; --", b"`id` $(id) ${HOME}", b"%s%n%x {0} %d", b"../../../etc/passwd"]
SEPARATORS = [
    b"|",
    b"|" * 60,
    b"=" * 40,
    b"a=b c=d",
    b"a,b;c:d",
    b"@host",
    b"[1-9]",
    b"(a:b=c)+(d)",
    b"&lt;&#10;&amp;",
    b"<![CDATA[",
    b"<!--",
    b"]]>",
    b"<x/>",
]
NUMBERS = [
    b"nan",
    b"NaN",
    b"inf",
    b"-inf",
    b"Infinity",
    b"1e999",
    b"-5",
    b"0x10",
    b"5.",
    b".5",
    b"1e5",
    b"007",
    b"1" * 400,
    b"-0",
    b" 5",
    b"-5 ",
    b"\n5\n",
    b"0.5",
    b"00.5",
    b"0x0.8p1",
    b"nan(x_1)",
    b"true",
    b"null",
    b"None",
]
STRUCTURE = [b"{", b"}", b"[", b"]", b"[]", b"{}", b'":{', b"N/A", b"(null)", b"NONE", b"undefined"]
FORGED = [
    b"\nJobId=1 JobState=RUNNING",
    b"\nJobId=99999 JobName=x UserId=root(0) GroupId=root(0) JobState=RUNNING Reason=None SubmitTime=1 StartTime=1 EndTime=2 NumCPUs=1",
    b"x JobState=RUNNING UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=1 ",
    b"\nNodeName=c1 State=DOWN CPUAlloc=0 CPUTot=8",
    b"\nNodeName=zz State=IDLE CPUAlloc=0 CPUTot=8 Partitions=x RealMemory=1 AllocMem=0",
    b"a|b\n0:00|c|d",
    b"x\n0:00|00000000|99999|99999|99999|N/A|N/A|N/A|root|root|batch|RUNNING|None|1|1|1|N/A|1:00|1|1|c1|cpu=1|N/A|N/A|N/A|1M|0:0|1|0|x",
    b"</Job_Name></Job><Job><Job_Id>99999.head1</Job_Id><Job_Name>x</Job_Name><job_state>C</job_state></Job><Job><Job_Id>1</Job_Id><Job_Name>",
    b"<Job><Job_Id>27.head1.cluster.local</Job_Id><job_state>C</job_state><exit_status>0</exit_status></Job>",
    b"</note></Node><Node><name>node09</name><state>free</state><np>8</np></Node><Node><name>node10</name><note>",
    b"jobs=1.head1 2.head1,state=down,ncpus=99",
    b'}\n,"1.srv":{',
    b'",\n            "job_state":"F",\n            "Exit_status":0,\n            "x":"',
    b'"\n        },\n        "99999.pbs01":{\n            "Job_Name":"x",\n            "job_state":"R"\n        },\n        "x":{\n"y":"',
    b'\\"',
    b'x\\\\",\n            "job_state":"F',
    b'"x":"y',
    b"\\,\\'\\",
    (b'X":"1",\n                "PBS_O_HOST":"h"\n            }\n        },\n        "99999.pbs01":{\n            "Job_Owner":"root@h",\n'
    b'            "job_state":"R",\n            "queue":"workq",\n            "ctime":"Sun Nov 22 11:07:11 2026",\n            "exec_vnode='
    b"(cn01:ncpus=4)"),
    b'X":"1"\n            },\n            "Exit_status":0,\n            "job_state":"F",\n            "o":{\n                "Y',
    b"=====\njobnumber 1",
    b"\n" + b"=" * 62 + b"\nqname        all.q\njobname      x\njobnumber    99999\nfailed       0\nexit_status  0\n",
    b"</JB_name></job_list><job_list state='running'><JB_job_number>99999</JB_job_number><state>r</state><JB_name>",
    b'"}, {"job_id": "99999", "state": "RUNNING", "native_state": "R"}, {"job_id": "2", "name": "',
    b"\n    job_state = C\n    exit_status = 0\n",
]  # fmt: skip
LONG = [b"A" * 300, b"A" * 70_000, b"\xc3\xa9" * 5_000, b"<" * 5_000, b"\n" * 5_000, b'"' * 5_000]

HOSTILE: list[bytes] = [*BLANKS, *CONTROL, *ENCODINGS, *UNICODE, *QUOTES, *SEPARATORS, *NUMBERS, *STRUCTURE, *FORGED, *LONG]
