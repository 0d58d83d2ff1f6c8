# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# Read after order.sh by the scripts for accounts that are only files: to try hpcbridge out, and to see what such a script has to do.
#
# ACCOUNTS_DIRECTORY ([scheduler] environment) is a folder that exists and that this account may write. In it each account is a file:
#   comment=hpcbridge l17   expires_on=2026-12-02   salt=…   hash=SHA-256 of salt and passcode
# A hash of SHA-256 is enough for a passcode of 80 random bits, and for nothing that a person made up.

[ -n "${ACCOUNTS_DIRECTORY:-}" ] || fail "ACCOUNTS_DIRECTORY is not set"
[ -d "$ACCOUNTS_DIRECTORY" ] || fail "$ACCOUNTS_DIRECTORY: no such folder"
account=$ACCOUNTS_DIRECTORY/$username

# One of us at a time; the lock goes with the process that holds it.
exec 9>"$ACCOUNTS_DIRECTORY/.lock"
flock -n 9 || later "cannot lock $ACCOUNTS_DIRECTORY: another script is at work there"

# Looks the account up: `state` is none, open, closed or foreign.
look_up() {
    state=none
    [ -e "$account" ] || return 0
    case $(sed -n 's/^comment=//p' "$account") in
        "hpcbridge $rental") state=open ;;
        "hpcbridge $rental closed") state=closed ;;
        *) state=foreign ;;
    esac
}

refuse_foreign() {
    [ "$state" != foreign ] || fail "the account $username is there and was not made for $rental; it is left as it is"
}

# Writes the account whole, so that it is the old or the new one whenever this is cut off: its comment, and what lines stand in it.
write() {
    { printf 'comment=%s\n' "$1" && cat; } >"$ACCOUNTS_DIRECTORY/.new" || fail "cannot write $ACCOUNTS_DIRECTORY/.new"
    mv "$ACCOUNTS_DIRECTORY/.new" "$account" || fail "cannot write $account"
}

# The lines of a passcode.
secret() {
    salt=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf 'salt=%s\nhash=%s\n' "$salt" "$(printf '%s%s' "$salt" "$passcode" | sha256sum | cut -d' ' -f1)"
}
