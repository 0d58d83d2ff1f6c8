# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# Read after order.sh by the scripts for accounts of this machine (passwd, shadow).
#
# What a site may set, in [scheduler] environment:
#   ACCOUNTS_UIDS    numbers for accounts and their groups; nothing else may use them        50000-59999
#   ACCOUNTS_HOMES   where their homes are made                                             /home
#   ACCOUNTS_SHELL   their shell                                                            /bin/bash, or /bin/sh without one
#   ACCOUNTS_GROUPS  further groups they are in, with commas between                        none
#   ACCOUNTS_AFTER   what becomes of the home when an account is closed: keep or remove     keep
#
# The comment (GECOS) of an account names its rental: `,,,,hpcbridge l17`, later `,,,,hpcbridge l17 closed`. The mark stands in the fifth
# part because chfn(1) lets a user change the parts before it. An account without it, or with a number outside ACCOUNTS_UIDS, is not ours
# and is never touched. A closed account stays, locked, so that its number is never given again.

uids=${ACCOUNTS_UIDS:-50000-59999}
first_uid=${uids%%-*}
last_uid=${uids#*-}
homes=${ACCOUNTS_HOMES:-/home}
shell=${ACCOUNTS_SHELL:-/bin/bash}
[ -x "$shell" ] || shell=/bin/sh
after=${ACCOUNTS_AFTER:-keep}
mark=",,,,hpcbridge $rental"

case $uids in
    *[!0-9-]* | -* | *- | *-*-*) fail "ACCOUNTS_UIDS is not two numbers with - between: $uids" ;;
    *-*) ;;
    *) fail "ACCOUNTS_UIDS is not two numbers with - between: $uids" ;;
esac
case $after in
    keep | remove) ;;
    *) fail "ACCOUNTS_AFTER is keep or remove, not $after" ;;
esac

# Looks the account up: its `uid`, `home` and `state`, which is none, open, closed or foreign.
look_up() {
    state=none uid= home=
    entry=$(getent passwd "$username") || {
        [ $? -eq 2 ] || later "getent cannot look up $username"
        return 0
    }
    uid=$(printf '%s\n' "$entry" | cut -d: -f3)
    home=$(printf '%s\n' "$entry" | cut -d: -f6)
    state=foreign
    { [ "$uid" -ge "$first_uid" ] && [ "$uid" -le "$last_uid" ]; } || return 0
    case $(printf '%s\n' "$entry" | cut -d: -f5 | cut -d, -f5) in
        "hpcbridge $rental") state=open ;;
        "hpcbridge $rental closed") state=closed ;;
    esac
}

refuse_foreign() {
    [ "$state" != foreign ] || fail "the account $username is there and was not made for $rental; it is left as it is"
}

# The passcode, by PAM or directly as the machine is set up; standard input, so that nobody sees it.
set_passcode() {
    complaint=$(printf '%s:%s\n' "$username" "$passcode" | chpasswd 2>&1 >/dev/null) || judge chpasswd "$complaint"
}

# The last word of a script: the result.
tell() {
    printf '{"home": "%s", "uid": "%s", "expires_on": "%s"}\n' "$home" "$uid" "$expires_on"
}
