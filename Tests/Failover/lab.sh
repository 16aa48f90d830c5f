# Read by the scripts of this folder: finds the failover lab and the binary, or says what is missing.
if [ ! -x "${HIKYAKU_LAB:-}/run-scenarios" ]; then
  echo "These scenarios need the failover lab (an Internet in network namespaces). Say where it is: HIKYAKU_LAB=path" >&2
  exit 69
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "The failover lab makes network namespaces and so needs root." >&2
  exit 77
fi
export HIKYAKU_BIN=${HIKYAKU_BIN:-$here/../../.build/release/hikyaku}
if [ ! -x "$HIKYAKU_BIN" ]; then
  echo "There is no binary at $HIKYAKU_BIN: run \`make build\`, or say where it is with HIKYAKU_BIN" >&2
  exit 69
fi
