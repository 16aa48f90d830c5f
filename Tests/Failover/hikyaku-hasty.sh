# As hikyaku.sh, with an end to every attempt after ten seconds, so that many fit into a short run.
. "$(dirname "$ADAPTER")/hikyaku.sh"
eval "usual_$(declare -f sut_config)"
sut_config() {
  usual_sut_config
  sed -i 's/^retry:/retry:\n  attempt-timeout: 10s/' "$CONFIG"
}
# usage: operate queue flush     the binary with the configuration
operate() { "$HIKYAKU" "$@" --config "$CONFIG"; }
