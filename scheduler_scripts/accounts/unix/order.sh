# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# Read by each acting script at its start (". order.sh"): takes the order from standard input.
#
# Afterwards `action rental username cluster queue cores gpus expires_at expires_on passcode contact message` are shell variables, empty where
# the order has null. None is exported, and the passcode is given to programs through a pipe from printf, which every shell has built in:
# so it stands in no list of processes, no environment and no file.

set -u
umask 077
unset order passcode

order=$(cat)

# One member of the order. Each has a line of its own, and no value but the message has a sign that JSON would escape (docs/accounts.md).
member() {
    printf '%s\n' "$order" | sed -n -e 's/^ *"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' -e 's/^ *"'"$1"'": \([0-9]*\),\{0,1\}$/\1/p'
}

# The message, which has more than one line: JSON writes the end of a line as \n, and \ before " and \.
message_member() {
    member message | awk '{
        text = ""
        for (i = 1; i <= length($0); i++) {
            sign = substr($0, i, 1)
            if (sign == "\\") { i++; sign = substr($0, i, 1); if (sign == "n") sign = "\n" }
            text = text sign
        }
        print text
    }'
}

# Ends the script: for good, with a reason for people.
fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Ends the script: it is to be run again later.
later() {
    printf '%s\n' "$*" >&2
    exit 75
}

# Runs a program that prints why it fails. What says that somebody else has the account files open is no failure for good.
try() {
    complaint=$("$@" 2>&1 >/dev/null </dev/null) || judge "$1" "$complaint"
}

judge() {
    case $2 in
        *'cannot lock'* | *'lock busy'* | *'try again'*) later "$1: $2" ;;
        *) fail "$1: ${2:-failed and says no more}" ;;
    esac
}

action=$(member action)
rental=$(member rental)
username=$(member username)
cluster=$(member cluster)
queue=$(member queue)
cores=$(member cores)
gpus=$(member gpus)
expires_at=$(member expires_at)
expires_on=$(member expires_on)
passcode=$(member passcode)
contact=$(member contact)
message=$(message_member)

# Whatever runs the script has looked already; a script that is run by hand looks as well.
case $rental in
    l | *[!l0-9]* | ?*l*) fail "this is not the name of a rental: ${rental:-nothing}" ;;
    l*) ;;
    *) fail "this is not the name of a rental: ${rental:-nothing}" ;;
esac
case $username in
    [!a-z]* | *[!a-z0-9]*) fail "this is not a username of a rental: $username" ;;
    ????????*) ;;
    *) fail "this is not a username of a rental: ${username:-nothing}" ;;
esac
