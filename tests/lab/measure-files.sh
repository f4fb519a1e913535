#!/usr/bin/env bash
# measure-files.sh - how fast files go, and what that costs, beside bare loops in the same run.
#
#   measure-files.sh [ROUNDS]    5 by default. As root. FEIGE=path, else target/release/feige
#
# Memory to memory (/dev/shm, about 7 GiB of it) over a virtual switch. Both sides in turns, middle
# of the rounds:
#   one file      1 GiB; sent beside a loop of sendfile, received beside a loop of splice
#   many files    10,000 of 0.5 to 8 KiB in 100 folders; beside a stream that is in memory already,
#                 and beside open, write, close, and tar | nc | tar
#   memory        what the node holds more than before while 1 GiB and 4 GiB go through it, each way,
#                 and while the many files come
#   messages      confirmed after so long while a file is sent and one is received
# Needs iproute2, and lanfile and lanload (cargo build --release --examples); netcat-openbsd for tar | nc | tar.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${1:-5}
feige=${FEIGE:-$PWD/target/release/feige}
bare=$(dirname "$feige")/examples/lanfile
load=$(dirname "$feige")/examples/lanload
export LAB=n$$
tmp=$(mktemp -d /dev/shm/feige-measure-XXXXXX)
lab=$PWD/tests/lab/lab.sh
trap '"$lab" down; rm -rf "$tmp"' EXIT

. tests/lab/at.sh
number() { grep -o "\"$1\":[0-9.]*" | tail -n 1 | cut -d: -f2; } # FIELD: of JSON on standard input
middle() { sort -n | awk '{v[NR] = $1} END {print NR ? v[int((NR + 1) / 2)] : "nothing"}'; }
until_ready() { # FILE: until a bare side says that its sockets are open
  local tries
  for tries in {1..200}; do grep -q ready "$1" 2>/dev/null && return; sleep 0.05; done
  echo "measure-files.sh: a side did not start: $(cat "$1")" >&2
  return 1
}
fresh() { rm -rf "$tmp/in" "$tmp/said"; mkdir "$tmp/in"; }

bare_sent() { # WHAT FIELD [ARGS of the receiver...]: from h2 to h3
  local what=$1 field=$2 there; shift 2
  fresh
  (at h3 "$bare" fetch "$@" >"$tmp/fetched" 2>"$tmp/said") & there=$!
  until_ready "$tmp/said"
  (at h2 "$bare" offer --path "$what" --to 10.99.0.3 >/dev/null 2>&1)
  wait "$there"
  number "$field" <"$tmp/fetched"
}
sent() { # WHAT FIELD: from feige to h2
  local there
  fresh
  (at h2 "$bare" fetch >"$tmp/fetched" 2>"$tmp/said") & there=$!
  until_ready "$tmp/said"
  (at h1 "$feige" send 10.99.0.2 --file "$1" >/dev/null 2>"$tmp/talk") || cat "$tmp/talk" >&2
  wait "$there"
  number "$2" <"$tmp/fetched"
}
received() { # WHAT: from h2 to feige; the seconds it says, to the rename at the end
  local there tries
  fresh
  (at h2 "$bare" offer --path "$1" --to 10.99.0.1 >/dev/null 2>"$tmp/said") & there=$!
  until_ready "$tmp/said"
  for tries in {1..200}; do
    (at h1 "$feige" --json get --all -o "$tmp/in" >"$tmp/got" 2>/dev/null) && break
    sleep 0.02
  done
  wait "$there"
  grep '"outcome":"done"' "$tmp/got" | number seconds
}
tarred() { # FOLDER: from h2 to h3 with tar and nc; the seconds, from the first tar to the end of the last
  local there tries
  fresh
  (at h3 sh -c 'nc -l 2426 | tar -x -C "$1"; date +%s.%N' sh "$tmp/in" >"$tmp/end") & there=$!
  for tries in {1..200}; do
    [[ -n $(at h3 ss -Hltn "sport = 2426") ]] && break
    sleep 0.02
  done
  (at h2 sh -c 'date +%s.%N; tar -c -C "$1" . | nc -N 10.99.0.3 2426 >&2' sh "$1" >"$tmp/begun")
  wait "$there"
  awk '{print $1 - begun}' begun="$(<"$tmp/begun")" "$tmp/end"
}
compare() { # NAME UNIT AMOUNT WHAT FIELD: prints one line for each way
  local name=$1 unit=$2 amount=$3 what=$4 field=$5 round
  : >"$tmp/a"; : >"$tmp/b"; : >"$tmp/c"; : >"$tmp/d"
  for ((round = 0; round < rounds; round++)); do
    bare_sent "$what" "$field" >>"$tmp/a"
    sent "$what" "$field" >>"$tmp/b"
    bare_sent "$what" "$field" --out "$tmp/in" >>"$tmp/c"
    received "$what" | awk -v amount="$amount" '{print amount / $1}' >>"$tmp/d"
  done
  awk -v name="$name" -v unit="$unit" -v a="$(middle <"$tmp/a")" -v b="$(middle <"$tmp/b")" \
    -v c="$(middle <"$tmp/c")" -v d="$(middle <"$tmp/d")" 'BEGIN {
    printf "%-12s sent      %8.0f %s, bare loop %8.0f: %.2f of it\n", name, b, unit, a, b / a
    printf "%-12s received  %8.0f %s, bare loop %8.0f: %.2f of it\n", name, d, unit, c, d / c}'
}

"$lab" up 4
mkdir "$tmp/source"
head -c 1G /dev/zero | tr '\0' x >"$tmp/source/one"
truncate -s 4G "$tmp/source/four"
for ((i = 0; i < 100; i++)); do
  mkdir -p "$tmp/source/many/$i"
  for ((j = 0; j < 100; j++)); do
    head -c $((512 + (i * 100 + j) * 7680 / 10000)) "$tmp/source/one" >"$tmp/source/many/$i/file $j"
  done
done
(at h1 "$feige" node >/dev/null 2>&1) & node=$!
sleep 1

compare "one file" MiB/s 1024 "$tmp/source/one" mib_s
compare "many files" files/s 10000 "$tmp/source/many" files_s
if nc -h 2>&1 | grep -q OpenBSD; then
  for ((round = 0; round < rounds; round++)); do tarred "$tmp/source/many"; done | middle |
    awk '{printf "many files   tar | nc | tar %5.0f files/s\n", 10000 / $1}'
else
  echo "many files   tar | nc | tar: left out, there is no netcat-openbsd"
fi

held() { awk '/^'"$1"':/ {print $2}' "/proc/$node/status"; }
more() { # CMD...: KiB the node held at most while CMD ran, above what it held before
  local before
  echo 5 >"/proc/$node/clear_refs"
  before=$(held VmRSS)
  "$@" >/dev/null
  echo $(($(held VmHWM) - before))
}
sleep 1
printf 'memory       sent 1 GiB: %s KiB more than before' "$(more sent "$tmp/source/one" bytes)"
printf ', 4 GiB: %s' "$(more sent "$tmp/source/four" bytes)"
printf '; received 1 GiB: %s' "$(more received "$tmp/source/one")"
printf ', 4 GiB: %s' "$(more received "$tmp/source/four")"
printf ', many files: %s\n' "$(more received "$tmp/source/many")"

meanwhile() { # TRANSFER...: a message alone is confirmed after so many ms, half of them, while it runs
  local moves
  "$@" >/dev/null & moves=$!
  sleep 0.3
  (at h4 "$load" burst --to 10.99.0.1 --window 1 --count 200 2>/dev/null) | number p50_us |
    awk '{printf "%.2f ms", $1 / 1000}'
  wait "$moves"
}
echo "messages     while a file is sent: $(meanwhile sent "$tmp/source/four" bytes), received:" \
  "$(meanwhile received "$tmp/source/four")"
