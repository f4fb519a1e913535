#!/usr/bin/env bash
# layout.sh - writes src/link/node.ld: which functions a running node calls, first those of an idle one.
#
#   layout.sh              as root. FEIGE=path of a release with its symbols, else of `just layout`
#
# A node runs under callgrind in the lab: alone, then with a neighbour through an ordinary day.
# Needs iproute2 valgrind.
set -euo pipefail
cd "$(dirname "$0")/../.."

export LAB=y$$
lab=$PWD/tests/lab/lab.sh
tmp=$(mktemp -d)
trap '"$lab" down; rm -rf "$tmp"' EXIT
FEIGE=$(realpath "${FEIGE:-target/layout/release/feige}")

. tests/lab/at.sh
until_it_works() { # CMD...: within a minute
  local try
  for try in {1..60}; do ("$@") >"$tmp/out" 2>&1 && return; sleep 1; done
  echo "layout.sh: this never worked: $*" >&2; cat "$tmp/out" "$tmp/log" >&2; exit 1
}
ask() { (at "$1" "$FEIGE" "${@:2}"); }

node_under_callgrind() { # OUTPUT; leaves $node, and $traced to end it by
  (at h1 valgrind --tool=callgrind --demangle=no --callgrind-out-file="$1" "$FEIGE" node >"$tmp/log" 2>&1) & node=$!
  until_it_works grep -q "is here" "$tmp/log"
  traced=$(pgrep -n -f -- "callgrind-out-file=$1")
}

"$lab" up 2
"$lab" ip h1 link add docker0 type bridge # one of those that are left out
node_under_callgrind "$tmp/idle"
sleep 20 # nothing else happens to an idle node
kill -TERM "$traced"; wait $node || true

node_under_callgrind "$tmp/day"
(at h2 "$FEIGE" node >/dev/null 2>&1) & neighbour=$!
until_it_works ask h2 node status
until_it_works ask h2 send 10.99.0.1 -- 你好
until_it_works ask h1 send 10.99.0.2 -- 谢谢
(at h1 "$FEIGE" --json listen >/dev/null 2>&1) & listener=$!
ask h2 broadcast -- "开会 at three"
ask h1 broadcast -- "开会 at four"
ask h1 --json peers >/dev/null
sleep 8 # who was heard goes to the store some seconds after
kill -TERM $neighbour; wait $neighbour || true
kill -TERM $listener; wait $listener || true
kill -TERM "$traced"; wait $node || true

# Of what ran, the functions of the program itself. A name loses its hashes, crate numbers and clone
# marks, which are others in each build; unless it then stood for much more code than ran, as that of a
# generic function made for many types may.
sed -n "s/^c\?fn=([0-9]*) //p" "$tmp/idle" "$tmp/day" | sed "s/'[0-9]*\$//" >"$tmp/ran"
nm --print-size --radix=d "$FEIGE" | awk '$3 ~ /[tTwW]/ {print $4, $2 + 0}' | sort -u >"$tmp/own"
awk '
  function plain(name) {
    if (name ~ /17h[0-9a-f]+E/) sub(/17h[0-9a-f]+E/, "17h*E", name)
    sub(/\.llvm\.[0-9]+/, "*", name)
    sub(/\.[0-9]+$/, ".*", name)
    gsub(/Cs[0-9A-Za-z]+_/, "Cs*_", name)
    gsub(/B[0-9A-Za-z]*_/, "B*_", name)
    return name
  }
  NR == FNR {size[$1] = $2; all[plain($1)] += $2; next}
  $1 in size && !seen[$1]++ {name[++n] = $1; ran[plain($1)] += size[$1]}
  END {
    for (i = 1; i <= n; i++) {
      short = plain(name[i])
      if (all[short] > 2 * ran[short] && all[short] > 24576) short = name[i]
      if (!told[short]++) print short
    }
  }' "$tmp/own" "$tmp/ran" >"$tmp/names"
{
  echo '/* What a running node calls: it lies together, before all else. Written by tests/lab/layout.sh;'
  echo '   names that no longer exist do no harm. docs/adr/0008 says why. */'
  echo 'SECTIONS {'
  echo '  .text.node : {'
  sed 's/.*/    *(".text.&" ".text.unlikely.&")/' "$tmp/names"
  echo '  }'
  echo '} INSERT BEFORE .text;'
} >src/link/node.ld
echo "$(wc -l <"$tmp/names") functions"
