#!/usr/bin/env bash
# measure.sh - times and sizes of the program as its user meets them, taken from outside.
#
#   measure.sh [RUNS]      20 by default. As root. FEIGE=path, else target/release/feige
#
# Prints the middle and the worst of the runs:
#   port bound       from execve to the bind of UDP 2425, by strace (which costs it a little)
#   entry on wire    from just before execve to the first packet, as the switch sees it
#   peers            `feige --json peers` beside a warm node that knows two others, whole process
# and of an idle node its wake-ups (context switches of all threads in 10 s) and its memory (PSS);
# then burst and discovery, each beside the bare loop of lanload on the same network; then how many
# messages a second are received and confirmed, each stored before, with so many in flight: the best
# of 5, beside what is wanted and what the disk's own sync took just before and after. What one message
# alone costs in syncs, lab::load counts.
# Needs iproute2 tcpdump strace, and lanload (cargo build --release --example lanload).
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-20}
feige=${FEIGE:-$PWD/target/release/feige}
load=$(dirname "$feige")/examples/lanload
export LAB=m$$ feige runs tmp
tmp=$(mktemp -d)
lab=$PWD/tests/lab/lab.sh
trap '"$lab" down; rm -rf "$tmp"' EXIT

. tests/lab/at.sh
middle_and_worst() { # UNIT: of the numbers on standard input
  sort -n | awk -v unit="$1" '{v[NR] = $1} END {
    if (!NR) {print "nothing measured"; exit 1}
    printf "%.2f %s (worst of %d: %.2f)\n", v[int((NR + 1) / 2)], unit, NR, v[NR]}'
}
# Started and ended RUNS times inside the host; the time of each start goes to a file.
start_often=$(cat <<'SCRIPT'
  for ((i = 0; i < runs; i++)); do
    ( echo "$EPOCHREALTIME" >>"$tmp/starts"; exec $1 "$feige" node >/dev/null 2>&1 ) & pid=$!
    sleep 0.3
    traced=$(cat "/proc/$pid/task/$pid/children") # of strace; feige itself has none
    kill -TERM ${traced:-$pid}; wait $pid || true
  done
SCRIPT
)

"$lab" up 3

(at sw tcpdump -i br0 -Z root -n --immediate-mode -U -w "$tmp/wire" udp port 2425 2>/dev/null) & tap=$!
sleep 0.5
(at h1 bash -c "$start_often" -- "")
kill -TERM "$tap"; wait "$tap" || true
tcpdump -tt -n -r "$tmp/wire" 2>/dev/null | awk '{print $1}' >"$tmp/packets"
printf 'entry on wire    '
awk 'NR == FNR {start[NR] = $1; n = NR; next}
  {while (i < n && start[i + 1] <= $1) {i++; fresh = 1}; if (fresh) {print ($1 - start[i]) * 1000; fresh = 0}}' \
  "$tmp/starts" "$tmp/packets" | middle_and_worst ms

(at h1 bash -c "$start_often" -- "strace -f --seccomp-bpf -ttt -A -o $tmp/trace -e trace=execve,bind")
printf 'port bound       '
awk '/ execve\(/ {start = $2} / bind\(.*htons\(2425\)/ && start {print ($2 - start) * 1000; start = 0}' \
  "$tmp/trace" | middle_and_worst ms

(at h1 "$feige" node >/dev/null 2>&1) & node=$!
(at h2 "$feige" node >/dev/null 2>&1) &
(at h3 "$feige" node >/dev/null 2>&1) &
sleep 3
printf 'peers            '
(at h1 bash -c 'for ((i = 0; i < runs; i++)); do
    start=$EPOCHREALTIME; "$feige" --json peers >/dev/null; end=$EPOCHREALTIME
    echo $((${end/./} - ${start/./}))
  done') | awk '{print $1 / 1000}' | middle_and_worst ms

switches() { cat /proc/"$node"/task/*/status | awk '/ctxt_switches/ {n += $2} END {print n}'; }
sleep 15 # who was heard goes to the store some seconds after it was heard
before=$(switches); sleep 10; after=$(switches)
echo "idle node        $((after - before)) wake-ups in 10 s, $(awk '/^Pss:/ {print $2}' /proc/"$node"/smaps_rollup) KiB PSS," \
  "$(ls /proc/"$node"/task | wc -l) threads"

number() { grep -o "\"$1\":[0-9.]*" | cut -d: -f2; } # FIELD: of a JSON object on standard input
"$lab" up 2 # as new: the next two flood
"$lab" ip h2 route add local 10.77.64.0/20 dev lo
"$lab" ip h1 route add 10.77.64.0/20 via 10.99.0.2
(at h1 "$load" ack --idle-seconds 2 >/dev/null 2>&1) & bare=$!
sleep 0.3
echo "burst, bare loop $(at h2 "$load" burst --to 10.99.0.1 2>/dev/null)"
wait $bare
(at h1 "$load" ack --folder "$tmp" --idle-seconds 2 >/dev/null 2>&1) & bare=$!
sleep 0.3
bare_us=$( (at h2 "$load" burst --to 10.99.0.1 --window 1 --count 2000 2>/dev/null) | number p50_us)
wait $bare
(at h1 "$feige" node >/dev/null 2>&1) &
sleep 2
echo "burst, feige     $(at h2 "$load" burst --to 10.99.0.1 2>/dev/null)"

sync_ms() { "$load" sync --folder "$tmp" | number p50_ms; }
for flight in 1 64 1000; do
  before=$(sync_ms)
  for ((i = 0; i < 5; i++)); do
    count=$((flight == 1 ? 2000 : flight == 64 ? 50000 : 100000))
    (at h2 "$load" burst --to 10.99.0.1 --window $flight --count $count 2>/dev/null)
  done >"$tmp/rates"
  after=$(sync_ms)
  paste -d' ' <(number confirmed <"$tmp/rates") <(number all_ms <"$tmp/rates") <(number p50_us <"$tmp/rates") |
    awk -v flight=$flight -v bare="$bare_us" -v before="$before" -v after="$after" '
      $1 / $2 * 1000 > best {best = $1 / $2 * 1000}
      !quick || $3 / 1000 < quick {quick = $3 / 1000}
      END {
        sync = before > after ? before : after
        want = sync <= 0.5 ? (flight == 64 ? 20000 : 60000) : flight / (sync / 1000 + flight * 8e-6) / 2
        printf "%4d in flight   ", flight
        if (flight == 1) printf "confirmed after %.2f ms (two syncs: %.2f; a bare loop that syncs 4 KiB: %.2f)", quick, 2 * sync, bare / 1000
        else printf "%d a second (wanted: %d)", best, want
        printf "; the disk syncs in %.2f to %.2f ms\n", before < after ? before : after, sync}'
done
echo "1,000 enter      $(at h2 "$load" entries --to 10.99.0.1 2>/dev/null)"
