#!/usr/bin/env bash
# lab.sh - a throw-away LAN of network namespaces. Needs root and iproute2.
#
#   lab.sh up N [--far M] [--multi K] [--bc-forward]
#       h1..hN  near hosts, 10.99.0.1.. /24      all on bridge br0 of the switch "sw"
#       f1..fM  far hosts,  10.99.1.1.. /24      on br1, behind the router
#       rt      the router, .254 on both sides   only with --far
#       m1..mK  hosts with a leg on each side, 10.99.0.200+K (eth0), 10.99.1.200+K (eth1)
#       --bc-forward: the router passes a directed broadcast on (real ones rarely do)
#   lab.sh exec HOST CMD [ARG...]   run CMD there, under that host name; becomes CMD
#   lab.sh ip HOST ARG...           run ip(8) on that host
#   lab.sh list                     NAME NAMESPACE ADDRESS...
#   lab.sh down                     end what runs inside, remove everything
#
# Nothing of the machine's own network is touched. LAB=name (8 letters or digits at most) gives
# independent labs with the same addresses. "up" removes an old lab of its name first.
set -euo pipefail

LAB=${LAB:-feige}
[[ $LAB =~ ^[A-Za-z0-9]{1,8}$ ]] || { echo "lab.sh: LAB must be 1 to 8 letters or digits" >&2; exit 2; }

die() { echo "lab.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
namespaces() { ip netns list | awk '{print $1}' | { grep -E "^$LAB-(sw|rt|[hfm][0-9]+)$" || true; }; }
inside() { local n; for n in $(namespaces); do ip netns pids "$n"; done 2>/dev/null; }

down() {
  local pid n wait
  for pid in $(inside); do kill -TERM "$pid" 2>/dev/null || true; done
  for wait in {1..20}; do [[ -n $(inside) ]] || break; sleep 0.05; done
  for pid in $(inside); do kill -KILL "$pid" 2>/dev/null || true; done
  for n in $(namespaces); do ip netns del "$n"; done
}

host() { # NAME
  ip netns add "$LAB-$1"
  ip -n "$LAB-$1" link set lo up
}

plug() { # HOST INTERFACE BRIDGE CIDR: both ends are born inside, nothing shows up outside
  ip -n "$LAB-sw" link add "$1$2" type veth peer name "$2" netns "$LAB-$1"
  ip -n "$LAB-sw" link set "$1$2" master "$3" up
  ip -n "$LAB-$1" addr add "$4" brd + dev "$2"
  ip -n "$LAB-$1" link set "$2" up
}

router_setting() { ip netns exec "$LAB-rt" sh -c "echo 1 >/proc/sys/net/ipv4/$1"; }

gateway() { # HOST ADDRESS: without a router everything is on the link, so 255.255.255.255 has a way out
  if (( far )); then ip -n "$LAB-$1" route add default via "$2"
  else ip -n "$LAB-$1" route add default dev eth0; fi
}

up() {
  local n=${1:-} far=0 multi=0 forward=0 i h
  [[ $n =~ ^[0-9]{1,2}$ ]] || usage
  shift
  while (( $# )); do
    case $1 in
      --far) far=$2; shift 2 ;;
      --multi) multi=$2; shift 2 ;;
      --bc-forward) forward=1; shift ;;
      *) usage ;;
    esac
  done
  down
  trap down ERR
  host sw
  for i in 0 1; do
    ip -n "$LAB-sw" link add "br$i" type bridge
    ip -n "$LAB-sw" link set "br$i" up
  done
  if (( far )); then
    host rt
    plug rt eth0 br0 10.99.0.254/24
    plug rt eth1 br1 10.99.1.254/24
    router_setting ip_forward
    if (( forward )); then
      for i in all eth0 eth1; do router_setting "conf/$i/bc_forwarding"; done
    fi
  fi
  for (( i = 1; i <= n; i++ )); do
    host "h$i"; plug "h$i" eth0 br0 "10.99.0.$i/24"; gateway "h$i" 10.99.0.254
  done
  for (( i = 1; i <= far; i++ )); do
    host "f$i"; plug "f$i" eth0 br1 "10.99.1.$i/24"; gateway "f$i" 10.99.1.254
  done
  for (( i = 1; i <= multi; i++ )); do
    host "m$i"; plug "m$i" eth0 br0 "10.99.0.$((200 + i))/24"; plug "m$i" eth1 br1 "10.99.1.$((200 + i))/24"
    gateway "m$i" 10.99.0.254
  done
  for h in $(namespaces); do # until the last cable carries
    [[ $h == *-sw ]] && continue
    for i in {1..50}; do
      [[ $(ip netns exec "$h" cat /sys/class/net/eth0/operstate) == up ]] && break
      sleep 0.02
    done
  done
}

[[ $(id -u) -eq 0 ]] || die "needs root"
command -v ip >/dev/null || die "needs ip (apt-get install iproute2)"
verb=${1:-}; shift || usage
case $verb in
  # Two labs coming up at the same moment trip over each other's mounts: they take turns.
  up) exec 9<"$0"; flock 9; up "$@" ;;
  down) exec 9<"$0"; flock 9; down ;;
  list)
    for n in $(namespaces | sort -V); do
      echo "${n#"$LAB"-} $n $(ip -n "$n" -4 -o addr show scope global | awk '{sub("/.*", "", $4); print $4}' | xargs)"
    done ;;
  ip) h=${1:?}; shift; exec ip -n "$LAB-$h" "$@" ;;
  exec)
    h=${1:?}; shift
    exec ip netns exec "$LAB-$h" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$h" "$@" ;;
  *) usage ;;
esac
