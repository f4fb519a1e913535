#!/usr/bin/env bash
# iptux.sh - a real iptux, an independent client of the family, on a host of lab.sh.
#
#   iptux.sh start HOST NICK GROUP CHARSET [PATH...]
#                                            run it; returns when it listens (CHARSET: utf-8, gb18030);
#                                            PATH: files and folders it shares with everybody
#   iptux.sh say HOST IP TEXT                type TEXT into its chat with IP, press Enter
#   iptux.sh group HOST GROUP TEXT           type TEXT into its window of a group in its list: Broadcast
#                                            is everybody, 10.0.0.0~10.255.255.255 a part of the network
#   iptux.sh tell HOST IP info|history       send IP what its user sees of IP: the info panel (nickname
#                                            and group as it reads them), or the chat so far
#   iptux.sh accept HOST IP                  accept everything IP offers; it lands in the folder
#                                            "download" beside its other files
#   iptux.sh offer HOST IP FILE              offer FILE in its chat with IP
#   iptux.sh shot HOST FILE.png              screenshot
#   iptux.sh log HOST                        its debug log, with every datagram
#   iptux.sh quit HOST                       quit by its own shortcut: only then it says goodbye
#
# Needs iptux xvfb xdotool dbus-daemon fonts-noto-cjk (and imagemagick for shot). Everything it
# starts, display and session bus too, runs inside HOST's namespace, so "lab.sh down" ends it. Its
# files are in ${TMPDIR:-/tmp}/LAB-HOST-iptux. A chat must be open for say, tell, accept and offer: it
# opens by itself when IP writes first. The windows are driven by position, hence the fixed sizes.
#
# An entry, answer or absence packet of IP while a chat with IP is open may crash it (0.8.3 of Debian;
# dialect reference of iptux, traps): drive its windows when those packets are through. feige sends its
# entry again 5 s after its start.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
export LAB=${LAB:-feige}
verb=${1:-}
[[ $# -ge 2 ]] || { sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
host=$2
dir=${TMPDIR:-/tmp}/$LAB-$host-iptux
die() { # with the line iptux leaves in its log when it crashes
  echo "iptux.sh: $*" >&2
  grep -as '^\*\*\* SIG' "$dir/log" >&2 || true
  exit 1
}
[[ $verb == start ]] || { export DISPLAY; DISPLAY=$(cat "$dir/display") || die "none runs on $host"; }

start() { # NICK GROUP CHARSET PATH...
  local shared='' path
  for path in "${@:4}"; do shared+=${shared:+,}\"$path\"; done
  rm -rf "$dir"
  mkdir -p "$dir/home" "$dir/run" "$dir/download"
  chmod 700 "$dir/run"
  cat >"$dir/config.json" <<JSON
{"nick_name":"$1","belong_group":"$2","preference_encode":"$3","candidacy_encode":"gb18030,utf-16",
 "archive_path":"$dir/download","my_icon":"icon-tux.png","personal_sign":"","open_chat":true,
 "shared_file_list":[$shared],"access_shared_limit":"",
 "use_enter_key":true,"hide_startup":false,"open_transmission":false,"record_log":true,"version":1}
JSON
  # Displays are found by a file that all namespaces share: two labs need two numbers.
  local number=$((100 + $(cksum <<<"$LAB-$host" | cut -d' ' -f1) % 30000))
  "$here/lab.sh" exec "$host" Xvfb ":$number" -displayfd 3 -screen 0 1100x800x24 -nolisten tcp -r \
    3>"$dir/display.new" >"$dir/xvfb.log" 2>&1 </dev/null &
  until_true 10 test -s "$dir/display.new" || die "Xvfb did not start: $(cat "$dir/xvfb.log")"
  echo ":$(cat "$dir/display.new")" >"$dir/display"
  env -i PATH="$PATH" HOME="$dir/home" XDG_RUNTIME_DIR="$dir/run" LANG=C.UTF-8 LC_ALL=C.UTF-8 \
    LAB="$LAB" DISPLAY="$(cat "$dir/display")" NO_AT_BRIDGE=1 GSETTINGS_BACKEND=memory GDK_BACKEND=x11 \
    "$here/lab.sh" exec "$host" dbus-run-session -- iptux -c "$dir/config.json" -l DEBUG \
    >"$dir/log" 2>&1 </dev/null &
  until_true 20 grep -q 'bind UDP port.*success' "$dir/log" || die "no iptux: $(tail -5 "$dir/log")"
}

until_true() { # SECONDS CMD...: tries until CMD succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" 2>/dev/null; do
    (( SECONDS < end )) || return 1
    sleep 0.05
  done
}

chat() { # IP: brings its chat window to a known place and size
  until_true 5 xdotool search --name "IP:$1\$" >"$dir/window" || die "no chat with $1 is open"
  # It may just be appearing, and takes no focus before that.
  until_true 5 place 1000 700 || die "its chat with $1 does not come up"
  sleep 0.3 # GTK lays its panes out anew
}

copy_from() { # X: what the pane there shows goes into the input
  xdotool mousemove "$1" 300 click 1 key ctrl+a key ctrl+c
  sleep 0.15
  xdotool mousemove 300 600 click 1 key ctrl+v
}

send() { # IP CMD...: CMD fills the input of the chat with IP; sent when IP has confirmed it
  local ip=$1 before try; shift
  for try in 1 2 3; do
    before=$(confirmed)
    chat "$ip"
    xdotool mousemove 300 600 click 1 key ctrl+a key BackSpace
    "$@"
    sleep 0.15
    xdotool key Return
    ! until_true 3 more_confirmed_than "$before" || return 0
  done
  die "$ip confirms nothing"
}
accept() { # IP
  local try
  for try in 1 2 3; do # its window may open before the offer is in it
    chat "$1"
    xdotool mousemove 985 77 click 1
    # It asks for a folder; the configured one is chosen already.
    ! answer 'select a folder' || return 0
  done
  die "it has nothing to accept from $1"
}

offer() { # IP FILE
  local before try
  before=$(sent_to "$1")
  for try in 1 2 3; do
    choose "$@"
    for _ in 1 2; do
      chat "$1"
      xdotool mousemove 300 600 click 1 key Return
      ! until_true 2 sent_more_than "$before" "$1" || return 0
    done
  done
  die "it does not offer $2"
}
choose() { # IP FILE: puts it into the message that is being written
  chat "$1"
  xdotool mousemove 300 600 click 1 key ctrl+s
  # A whole path opens the field for paths.
  answer 'Choose enclosure files' type --delay 25 -- "$2" || die "it does not ask for a file"
  for _ in 1 2 3 4 5; do # an Enter may only complete the path
    ! until_true 1 no_question || break
    xdotool key Return
  done
  no_question || die "no file $2?"
}
sent_to() { grep -c "send udp message to $1:" "$dir/log" || true; }
sent_more_than() { (( $(sent_to "$2") > $1 )); }
no_question() { [[ -z $(xdotool search --onlyvisible --name 'Choose enclosure files') ]]; }

answer() { # TITLE [KEY...]: types into the question of this title and presses Enter
  local window title=$1; shift
  until_true 3 xdotool search --onlyvisible --name "$title" >"$dir/window" || return 1
  window=$(tail -1 "$dir/window")
  until_true 3 xdotool windowraise "$window" windowfocus --sync "$window" || return 1
  sleep 0.4
  (( ! $# )) || xdotool "$@"
  xdotool key Return
}

no_window() { [[ -z $(xdotool search --onlyvisible --name '^[Ii]ptux$') ]]; }
group_window() { # GROUP: opens it from the list, at a known place and size
  # The list has four views, each with its groups: single people, networks, groups, everybody.
  for _ in {1..9}; do
    if visible "^Talk with the group $1\$"; then
      place 1000 700 || continue # it may just be appearing
      sleep 0.3 # GTK lays its panes out anew
      return
    fi
    # A search fails, too, when another window goes while it looks.
    until_true 5 visible '^[Ii]ptux$' || die "its list is not there"
    place 264 566 || continue
    xdotool mousemove 237 72 click 1
    sleep 0.5
    xdotool mousemove 60 109 click --repeat 2 --delay 80 1
    until_true 2 visible "^Talk with the group $1\$" || true
  done
  die "there is no group $1 in its list"
}

visible() { # NAME: whether there is such a window; the first one is in $dir/window
  xdotool search --onlyvisible --name "$1" >"$dir/window"
}

place() { # WIDTH HEIGHT: of the window found last, on top in the corner
  local window
  window=$(head -1 "$dir/window")
  xdotool windowraise "$window" windowmove "$window" 0 0 windowsize "$window" "$1" "$2" \
    windowfocus --sync "$window"
}

send_group() { # GROUP TEXT: nobody confirms it, but iptux hears itself
  local before try
  for try in 1 2 3; do
    before=$(heard_itself)
    group_window "$1"
    xdotool mousemove 600 600 click 1 key ctrl+a key BackSpace
    xdotool type --delay 25 -- "$2"
    sleep 0.15
    xdotool key Return
    ! until_true 3 heard_more_than "$before" || return 0
  done
  die "it does not write to $1"
}
heard_itself() { grep -c 'fb\] SENDMSG' "$dir/log" || true; }
heard_more_than() { (( $(heard_itself) > $1 )); }

confirmed() { grep -c '\[0x21\] RECVMSG' "$dir/log" || true; }
more_confirmed_than() { (( $(confirmed) > $1 )); }

case $verb in
  start) start "${@:3}" ;;
  say) send "$3" xdotool type --delay 25 -- "$4" ;;
  group) send_group "$3" "$4" ;;
  tell)
    case $4 in info) pane=850 ;; history) pane=300 ;; *) die "tell what?" ;; esac
    send "$3" copy_from $pane ;;
  accept) accept "$3" ;;
  offer) offer "$3" "$4" ;;
  shot) exec import -window root "$3" ;;
  log) exec cat "$dir/log" ;;
  quit)
    for _ in 1 2 3; do
      for window in $(xdotool search --onlyvisible --name '^[Ii]ptux$'); do
        xdotool windowraise "$window" windowfocus --sync "$window" key ctrl+q || true
      done
      ! until_true 3 no_window || exit 0
    done
    die "it stays" ;;
  *) die "$verb?" ;;
esac
