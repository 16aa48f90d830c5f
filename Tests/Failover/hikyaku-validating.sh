# As hikyaku.sh, with DNS sources whose validation counts, both of them, since whichever is faster answers; and with
# trust in the lab's certificates for MTA-STS.
. "$(dirname "$ADAPTER")/hikyaku.sh"
eval "usual_$(declare -f sut_config)"
sut_config() {
  usual_sut_config
  sed -i -e 's|^  sources: .*|  sources: ["https://dns.google.test@192.0.2.44/dns-query", 192.0.2.8]\n  trust-ad: [192.0.2.8]|' \
    -e "s|kind: direct-mx,|& ca-file: $LAB_CA_BUNDLE,|" \
    -e 's|allow-api-networks: \[|&203.0.113.0/24, 192.0.2.0/24, |' "$CONFIG"
}
