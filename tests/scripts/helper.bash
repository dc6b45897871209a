# A fake node in $BATS_TEST_TMPDIR/node, and ways to call on-host on it.

fake_node() {
  root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  node=$BATS_TEST_TMPDIR/node
  python3 "$root/tests/scripts/fake_node.py" create "$node"
  for name in base64 sha256sum; do
    ln -s "$(command -v "$name")" "$node/bin/$name"
  done
  # shellcheck disable=SC2034 # for the tests
  disk=$node/disks/hermes
}

# Runs calls, one per argument, as the transports do.
on_host() {
  {
    cat "$node/scripts/on-host"
    printf '%s\n' 'steps() {' "begin hermes 118 pve1 hermes ${mode:-apply}" "$@" finish '}' 'steps </dev/null'
  } | env -i PATH="$node/bin" HOSTNAME=pve1 "$(command -v bash)" -s 2>&1
}

changes() {
  [[ ! -e $node/changes ]] || grep -c . "$node/changes"
}

# Calls one function of on-host by itself.
function_of_on_host() {
  # shellcheck source=/dev/null
  (source "$root/scripts/host/on-host" && "$@")
}
