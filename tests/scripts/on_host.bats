#!/usr/bin/env bats
# shellcheck disable=SC2154 # the helper sets node and disk
#
# The functions of scripts/host/on-host by themselves, and one story of a container from its first mount to its last.

bats_require_minimum_version 1.5.0

setup() {
  load helper
  fake_node
}

@test "equal settings give equal text" {
  run -0 function_of_on_host canonical '/mnt/a,mp=/data,size=8G,replicate=no,backup=0,ro=1'
  [[ $output == /mnt/a,mp=/data,replicate=0,ro=1 ]]
  run -0 function_of_on_host canonical 'ro=on,replicate=0,mp=data/,volume=/mnt/a'
  [[ $output == /mnt/a,mp=/data,replicate=0,ro=1 ]]
  run -0 function_of_on_host canonical 'nesting=1,keyctl=0'
  [[ $output == ,nesting=1 ]]
  run -0 function_of_on_host canonical ''
  [[ $output == , ]]
}

@test "values are taken as text" {
  # shellcheck disable=SC2016 # it must not expand here either
  run -0 function_of_on_host canonical '$(touch /tmp/never),mp=/`id`,x[$(id)]=1'
  # shellcheck disable=SC2016
  [[ $output == '$(touch /tmp/never),mp=/`id`,x[$(id)]=1' ]]
}

@test "versions are compared by number" {
  run -0 function_of_on_host version_at_least 6.1.10 6.1.6
  run -0 function_of_on_host version_at_least 6.1.6-1 6.1.6
  run -0 function_of_on_host version_at_least 7 6.1.6
  run -1 function_of_on_host version_at_least 6.1.5 6.1.6
  run -1 function_of_on_host version_at_least 5.99.99 6.1.6
  run -1 function_of_on_host version_at_least unknown 6.1.6
  run -0 function_of_on_host version_at_least 6.08.09 6.1.6
}

@test "paths that Proxmox VE or the system would suffer from" {
  for path in /mnt/pve/hdd/hermes /tank /srv/x /media/usb/x /var/lib/hermes '/mnt/with space' /mnt/.hidden /mnt/a..b; do
    run -0 function_of_on_host host_path_fault "$path"
    [[ -z $output ]]
  done
  for path in / /etc /etc/x /usr/x /boot /dev/sda /proc /sys/x /root/x /var/lib /lib/x /mnt/../x '/mnt/a,' mnt ''; do
    run -0 function_of_on_host host_path_fault "$path"
    [[ -n $output ]]
  done
}

@test "the first link of a path is found" {
  mkdir -p "$node/disks/a"
  ln -s a "$node/disks/b"
  run -0 function_of_on_host symlink_in "$node/disks/b/c"
  [[ $output == "$node/disks/b" ]]
  run -0 function_of_on_host symlink_in "$node/disks/a/c"
  [[ -z $output ]]
}

@test "a value that was refused cannot touch the terminal" {
  run -0 function_of_on_host shown $'\e[2J\a'
  [[ $output == "\$'\\E[2J\\a'" ]]
  run -0 function_of_on_host shown "$(printf 'x%.0s' {1..4096})"
  ((${#output} == 120))
}

@test "from the first mount to the last" {
  local wanted=("want_directory $disk 110000 110000 0750" host_directories
    "want_mount mp0 $disk /data backup=0" "want_feature keyctl 1" container_config)
  run -0 on_host "${wanted[@]}"
  [[ ${lines[0]} == "[hermes] $disk … changed (created, owner 110000:110000)" ]]
  [[ ${lines[1]} == "[hermes] mp0 $disk,mp=/data,backup=0 … changed (not there before)" ]]
  [[ ${lines[2]} == "[hermes] features keyctl=1,nesting=1 … changed (nesting=1 before)" ]]
  [[ ${lines[3]} == "[hermes] rebooting container 118: it gets its features only at a start" ]]
  [[ ${lines[-1]} == "[hermes] 4 done: 4 changed, 0 ok" ]]
  [[ $(changes) == 4 ]]

  rm "$node/changes"
  run -0 on_host "${wanted[@]}"
  [[ ${lines[-1]} == "[hermes] 3 done: 0 changed, 3 ok" ]]
  [[ -z $(changes) ]]

  mode=check run -1 on_host "drop_mount mp0 $disk" "detach_mounts yes"
  [[ -z $(changes) ]]
  run -0 on_host "drop_mount mp0 $disk" "detach_mounts yes"
  [[ $(changes) == 2 ]]
  [[ -d $disk ]]
}

@test "everything is looked at before anything is done" {
  run -3 on_host "want_directory $disk 110000 110000 0750" "want_directory /etc/x 0 0 0750" host_directories
  [[ $output == "[hermes] refused: host directory /etc/x belongs to the system" ]]
  [[ -z $(changes) ]]
  [[ ! -e $disk ]]
}

@test "half a script does nothing" {
  {
    cat "$node/scripts/on-host"
    printf '%s\n' 'steps() {' "begin hermes 118 pve1 hermes apply" "want_feature keyctl 1"
  } | run ! env -i PATH="$node/bin" HOSTNAME=pve1 "$(command -v bash)" -s
  [[ ! -e $node/calls ]]
}
