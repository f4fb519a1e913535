# at.sh - for scripts of this folder that source it; needs $tmp and $lab.

at() { # HOST CMD...: with a home of its own; becomes CMD
  local home=$tmp/$1
  mkdir -p "$home/run"
  exec env HOME="$home" XDG_CONFIG_HOME="$home/config" XDG_DATA_HOME="$home/data" \
    XDG_STATE_HOME="$home/state" XDG_RUNTIME_DIR="$home/run" "$lab" exec "$@"
}
