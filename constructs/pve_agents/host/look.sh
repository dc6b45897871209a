# Looks at a Proxmox VE node and at one container, prints facts, and changes nothing. Root's shell reads this text, with
# one call of `look` at its end. A fact is three fields (kind, name, value), each ended by a NUL, which no file name and
# no variable can hold; the last one says how many there were, and each is cut to a length.
#
# It runs nothing but builtins of bash and: stat sha1sum lxc-info lxc-attach dpkg-query timeout head
# What it cannot see is an empty value: its standard error goes nowhere.
set -u
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
root='' # of the file system
facts=0

fact() { # KIND NAME VALUE
  facts=$((facts + 1))
  printf '%s\0' "$1" "${2:0:1500}" "${3:0:65536}"
}

text_of() { # FILE: without its NULs; nothing if there is none
  [[ ! -r $1 ]] || head -c 65536 -- "$1"
}

# Who may rename what is on the way to a path decides what the path is. What is not there is no fact.
paths_and_above() { # PATH...
  local path all=("$root/") name value
  for path in "$@"; do
    while [[ -n $path ]]; do
      all+=("$root$path")
      path=${path%/*}
    done
  done
  while IFS= read -rd '' name && IFS= read -rd '' value; do
    fact path "${name#"$root"}" "$value"
  done < <(stat --printf '%n\0%u %g %a %m|%F\0' -- "${all[@]}")
}

guests() { # VMID
  local file name
  for file in "$root"/etc/pve/nodes/*/{lxc,qemu-server}/*.conf; do
    [[ -e $file ]] || continue
    name=${file#"$root"/etc/pve/nodes/}
    # Of others only those here matter, for what they can write on this node; of ours, where it is.
    [[ $name == "${HOSTNAME%%.*}"/lxc/* || $name == */"$1.conf" ]] || continue
    fact guest "$name" "$(text_of "$file")"
    [[ $name != "${HOSTNAME%%.*}/lxc/$1.conf" ]] || fact digest '' "$(sha1sum <"$file")"
  done
}

# What a container says comes here alone, not on a channel of the host's; it has 10 seconds and 64 KiB for it.
# shellcheck disable=SC2016 # this is for the container's shell
readonly inside='
  for directory in "$1.new" "$1.previous"; do [ ! -e "$directory" ] || printf "unfinished %s\n" "$directory"; done
  [ ! -f "$1/.sha256" ] || { printf "payload "; head -n 1 "$1/.sha256"; }
  [ ! -f "$1/.done" ] || { printf "done "; head -n 1 "$1/.done"; }
  for name in bootstrap verify; do [ ! -x "$1/$name" ] || echo "executable $name"; done
  if [ -f "$2" ] && [ ! -L "$2" ]; then printf "secrets "; stat -c "%u:%g %a" "$2"; sha256sum <"$2"; fi
  echo whole'

look() { # VMID PAYLOAD-DIRECTORY SECRETS-FILE PATH...
  local vmid=$1 directory=$2 secrets=$3 state
  fact node '' "${HOSTNAME%%.*}"
  fact pve-container '' "$(dpkg-query -W -f '${Version}' pve-container </dev/null)"
  fact lxc-pve '' "$(dpkg-query -W -f '${Version}' lxc-pve </dev/null)"
  guests "$vmid"
  fact ha '' "$(text_of "$root/etc/pve/ha/resources.cfg")"
  paths_and_above "${@:4}"
  state=$(lxc-info -n "$vmid" -s -H </dev/null)
  fact state '' "$state"
  if [[ $state == RUNNING && -n $directory ]]; then
    # What is started inside may hold the pipe open longer than that.
    fact inside '' "$(
      timeout -k 5 10 lxc-attach -n "$vmid" --clear-env -- sh -c "$inside" sh "$directory" "$secrets" </dev/null |
        timeout -k 5 15 head -c 65536
    )"
  fi
  fact end '' "$facts"
}
