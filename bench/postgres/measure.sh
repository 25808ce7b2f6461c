#!/usr/bin/env bash
# What Keepwell's commands per second are compared with: an encrypted, hash-chained audit table in
# PostgreSQL 15, one primary and three standbys, each commit durable on the primary and on two of them.
#
#   bench/postgres/measure.sh [--dir DIR] [--seconds 10] [--clients "1 16 64"] [--chains "global patient"]
#
# Prints one JSON object per line: each measurement, then the best of each kind of chain. Everything
# runs on loopback, on the disk that has DIR, and is stopped and removed at the end. PostgreSQL verifies
# no signature here; see schema.sql for what else favours it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=/var/tmp seconds=10 clients="1 16 64" chains="global patient"
while [ $# -gt 0 ]; do
    case $1 in
        --dir) dir=$2 ;;
        --seconds) seconds=$2 ;;
        --clients) clients=$2 ;;
        --chains) chains=$2 ;;
        *) echo "measure.sh: unknown argument $1; see the head of the script" >&2; exit 2 ;;
    esac
    shift 2
done

bin=/usr/lib/postgresql/15/bin
if [ ! -x "$bin/pg_ctl" ] || [ ! -e /usr/share/postgresql/15/extension/pgcrypto.control ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "measure.sh: PostgreSQL 15 is missing; run: apt-get install postgresql-15" >&2
        exit 1
    fi
    echo "measure.sh: installing postgresql-15 with apt-get" >&2
    # No cluster of the package's own is wanted.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql-15 >&2
fi

# PostgreSQL refuses to run as root.
as_postgres=()
[ "$(id -u)" != 0 ] || as_postgres=(runuser -u postgres --)
run() { (cd / && "${as_postgres[@]}" "$@"); }

root=$(mktemp -d "$dir/keepwell-postgres.XXXXXX")
stop() {
    for node in primary standby1 standby2 standby3; do
        [ ! -e "$root/$node/postmaster.pid" ] ||
            run "$bin/pg_ctl" -D "$root/$node" -m immediate -w stop > /dev/null 2>&1 || true
    done
    rm -rf "$root"
}
trap stop EXIT
trap 'exit 130' INT TERM
[ "$(id -u)" != 0 ] || chown postgres "$root"
run test -w "$root" || {
    echo "measure.sh: the user postgres cannot write in $dir; name another folder with --dir" >&2
    exit 1
}

free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(it.getsockname()[1] for it in sockets))
PYTHON
}
read -r -a ports <<< "$(free_ports 4)"
connect="host=127.0.0.1 user=bench"

sql() { run "$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$connect port=${ports[0]} dbname=postgres" "$@"; }

start() { # node, port
    run "$bin/pg_ctl" -D "$root/$1" -l "$root/$1.log" -w -t 60 \
        -o "-p $2 -c listen_addresses=127.0.0.1 -c unix_socket_directories=" start > /dev/null || {
        echo "measure.sh: PostgreSQL did not start; its log says:" >&2
        tail -n 20 "$root/$1.log" >&2
        exit 1
    }
}

run "$bin/initdb" -D "$root/primary" -U bench -A trust -E UTF8 --locale=C > /dev/null
cat >> "$root/primary/postgresql.conf" <<'CONF'
shared_buffers = 256MB
wal_level = replica
max_wal_senders = 10
max_wal_size = 4GB
synchronous_commit = on
max_connections = 200
CONF
start primary "${ports[0]}"
for index in 1 2 3; do
    standby=standby$index
    run "$bin/pg_basebackup" -d "$connect port=${ports[0]}" -D "$root/$standby" -R -X stream -c fast
    # The last line for a setting counts.
    echo "primary_conninfo = '$connect port=${ports[0]} application_name=$standby'" \
        >> "$root/$standby/postgresql.auto.conf"
    start "$standby" "${ports[$index]}"
done
sql -c "ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (standby1, standby2, standby3)'"
sql -c "SELECT pg_reload_conf()" > /dev/null
for _ in $(seq 100); do
    quorum=$(sql -c "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum' AND state = 'streaming'")
    [ "$quorum" != 3 ] || break
    sleep 0.1
done
[ "$quorum" = 3 ] || { echo "measure.sh: $quorum of 3 standbys are synchronous" >&2; exit 1; }
sql < "$here/schema.sql"
cp "$here"/commit_*.sql "$root"
chmod 644 "$root"/commit_*.sql
sql -c "CHECKPOINT"

measure() { # chain, clients
    local threads=$(( $2 < 2 ? 1 : 2 )) report
    report=$(run "$bin/pgbench" -n -M prepared -c "$2" -j "$threads" -T "$seconds" \
        -f "$root/commit_$1.sql" -d postgres -h 127.0.0.1 -p "${ports[0]}" -U bench 2>&1) || {
        echo "$report" >&2
        exit 1
    }
    awk -v chain="$1" -v clients="$2" -v seconds="$seconds" '
        /^latency average/ { latency = $4 }
        /^tps/ { tps = $3 }
        /^number of failed/ { failed = $5 }
        END {
            printf "{\"kind\":\"postgres\",\"chain\":\"%s\",\"clients\":%d,\"seconds\":%d,", chain, clients, seconds
            printf "\"commands_per_s\":%.1f,\"latency_mean_ms\":%.3f,\"failed\":%d,\"signatures_verified\":0}\n", tps, latency, failed
        }' <<< "$report"
}

# Every standby has what the primary has, and no link is broken.
check() {
    local rows broken standby index
    rows=$(sql -c "SELECT count(*) FROM audit")
    broken=$(sql -c "SELECT broken FROM audit_broken")
    [ "$broken" = 0 ] || { echo "measure.sh: $broken links are broken" >&2; exit 1; }
    for index in 1 2 3; do
        for _ in $(seq 300); do
            standby=$(run "$bin/psql" -X -q -A -t -d "$connect port=${ports[$index]} dbname=postgres" \
                -c "SELECT count(*) FROM audit")
            [ "$standby" != "$rows" ] || continue 2
            sleep 0.1
        done
        echo "measure.sh: standby $index has $standby rows of $rows" >&2
        exit 1
    done
}

for chain in $chains; do
    best=0
    for count in $clients; do
        line=$(measure "$chain" "$count")
        echo "$line"
        rate=$(sed 's/.*"commands_per_s":\([0-9.]*\).*/\1/' <<< "$line")
        best=$(awk -v a="$best" -v b="$rate" 'BEGIN { print (a > b ? a : b) }')
    done
    check
    echo "{\"kind\":\"postgres_best\",\"chain\":\"$chain\",\"commands_per_s\":$best,\"signatures_verified\":0}"
done
