# The failover lab's adapter for Hikyaku: five functions that run where the system under test lives.
# The binary is HIKYAKU_BIN, else the release build of this checkout.
FAILOVER=$(dirname "$ADAPTER")
HIKYAKU=${HIKYAKU_BIN:-$FAILOVER/../../.build/release/hikyaku}
CONFIG=$LAB_SUT_DIR/hikyaku.yaml
# The gateway refuses variables that begin with its name and that it does not know.
unset HIKYAKU_LAB

# The whole chain, the lab's resolvers and the lab's credentials; retry clocks compressed to seconds.
sut_config() {
  cat > "$CONFIG" <<E
hostname: gateway.app.test
domain: app.test
data-directory: $LAB_SUT_DIR/data
listeners:
  smtp: { address: [0.0.0.0], port: 25, tls: none, allow: private }
chain: [direct, gmail, sendgrid, mailgun]
providers:
  direct: { kind: direct-mx, allow-networks: [203.0.113.0/24, "2001:db8::/32"], connect-timeout: 5s }
  gmail: { preset: gmail, host: smtp.gmail.test, username: sender@gmail.test, password: abcd efgh ijkl mnop, ca-file: $LAB_CA_BUNDLE, connect-timeout: 5s }
  sendgrid: { base-url: https://api.sendgrid.test, api-key: SG.labkeylabkeylabkeylab.0123456789abcdefghijklmnopqrstuvwxyzABCDEFG, timeout: 8s }
  mailgun: { base-url: https://api.mailgun.test, domain: mg.app.test, api-key: key-1ab0123456789abcdef0123456789abc, timeout: 8s }
dns:
  sources: [system, 192.0.2.8, 192.0.2.1, "https://dns.google.test@192.0.2.44/dns-query"]
retry:
  first-delay: 3s
  max-delay: 6s
  outage-delay: 3s
  ambiguous-delay: 3s
  fallback-after: 12s
  breaker-delay: 1s
  breaker-max-delay: 3s
limits: { allow-api-networks: [198.51.100.0/24] }
E
  chmod 600 "$CONFIG"
}

sut_start() {
  export SSL_CERT_FILE=$LAB_CA_BUNDLE
  [ -e "$CONFIG" ] || sut_config
  setsid "$HIKYAKU" serve --config "$CONFIG" >> "$LAB_SUT_DIR/hikyaku.log" 2>&1 < /dev/null &
  echo $! > "$LAB_SUT_DIR/pid"
  for _ in $(seq 100); do
    (exec 3<>/dev/tcp/127.0.0.1/25) 2>/dev/null && return 0
    sleep 0.05
  done
  return 1
}
sut_stop() {
  local pid
  pid=$(cat "$LAB_SUT_DIR/pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null
  for _ in $(seq 200); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.05
  done
  sut_kill9
}
sut_kill9() { kill -9 "$(cat "$LAB_SUT_DIR/pid")" 2>/dev/null; return 0; }
sut_port() { echo 25; }
sut_report() { "$HIKYAKU" queue list --all --limit 5000 --json --config "$CONFIG" | python3 -B "$FAILOVER/report.py"; }
