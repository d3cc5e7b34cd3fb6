#!/usr/bin/env bash
# Makes what deploy/compose/tls.yml mounts: an authority in deploy/compose/pki, a certificate for
# each service, and a folder for each container with no key but its own. What is there already is
# kept; `deploy/compose/tls.sh renew` renews the certificates, which the services notice.
#
# As root it has the keys readable by the containers' user alone; else everybody on this machine
# reads them. SYNOD names the program, and SYNOD_REPLICAS says how many replicas there are, if not
# three (deploy/compose/replica-4.yml).
set -euo pipefail
cd "$(dirname "$0")"

synod=${SYNOD:-synod}
user=65532           # of the image
put() {
    if [ "$(id -u)" = 0 ]; then install -o "$user" -g "$user" -m "$1" "$2" "$3"; else install -m 644 "$2" "$3"; fi
}
service() {
    local role=$1 name=$2 host=$3
    [ -e "pki/$name.pem" ] || "$synod" pki issue "$role" "$name" --dir pki --dns "localhost,$host" --ip 127.0.0.1
    mkdir -p "tls/$name"
    # The key first: a service that reads in between keeps what it has, and looks again.
    put 600 "pki/$name.key" "tls/$name/own.key"
    put 644 "pki/$name.pem" "tls/$name/own.pem"
    put 644 pki/ca.pem "tls/$name/ca.pem"
}

[ -e pki/ca.pem ] || "$synod" pki init --dir pki
[ "${1:-}" != renew ] || "$synod" pki renew --dir pki
service balancer balancer-1 balancer
for number in 1 2; do service coordinator "coordinator-$number" "coordinator-$number"; done
for number in 1 2 3; do service acceptor "acceptor-$number" "acceptor-$number"; done
for number in $(seq "${SYNOD_REPLICAS:-3}"); do
    service replica "replica-$number" "replica-$number"
done
