# As hikyaku.sh, with a first DNS source that does not validate (dnsmasq, which asks the lab's authoritative server), and
# behind it one that the operator names as a validator (the lab's root is not signed, so that it does not show by itself).
. "$(dirname "$ADAPTER")/hikyaku.sh"
LAB_AUTHORITY=198.51.100.54
CARELESS=127.0.0.54
eval "usual_$(declare -f sut_config)"
eval "usual_$(declare -f sut_start)"
eval "usual_$(declare -f sut_stop)"
sut_config() {
  usual_sut_config
  sed -i "s|^  sources: .*|  sources: [$CARELESS, 192.0.2.8]\n  trust-ad: [192.0.2.8]|" "$CONFIG"
}
sut_start() {
  setsid dnsmasq -k --no-resolv --no-hosts --conf-file=/dev/null --user= --bind-interfaces --listen-address="$CARELESS" \
    --server="$LAB_AUTHORITY" --pid-file="$LAB_SUT_DIR/dnsmasq.pid" >> "$LAB_SUT_DIR/dnsmasq.log" 2>&1 < /dev/null &
  usual_sut_start
}
sut_stop() {
  usual_sut_stop
  kill "$(cat "$LAB_SUT_DIR/dnsmasq.pid" 2>/dev/null)" 2>/dev/null
  return 0
}
