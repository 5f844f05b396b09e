#!/usr/bin/env bash
# The product's story, told to a newcomer with real processes: a nats-server, a broker, a host, components signed with
# wasmCloud's own tools, and imposters. Own folder, own port, no prompts; cleans up after itself.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=${CARGO_TARGET_DIR:-target}/debug
bin=$(cd "$bin" && pwd)
guests=$PWD/tests/guests
vectors=$PWD/tests/vectors
rules=$PWD/docs/rules
. tests/demo/everybody.sh
. tests/demo/act-two.sh
. tests/demo/act-three.sh
nats=${NATS_SERVER:-$(command -v nats-server || echo "$PWD/.tools/nats/bin/nats-server")}
room=$(mktemp -d)
jobs_started=()

cleanup() {
  status=$?
  # The last first: a broker ends in order as long as its server is there.
  for ((job = ${#jobs_started[@]} - 1; job >= 0; job--)); do
    kill -CONT "${jobs_started[job]}" 2>/dev/null || true
    kill "${jobs_started[job]}" 2>/dev/null || true
    if [ "$job" -gt 0 ]; then wait "${jobs_started[job]}" 2>/dev/null || true; fi
  done
  wait 2>/dev/null || true
  rm -rf "$room"
  exit "$status"
}
trap cleanup EXIT

bold() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
say() { printf '  %s\n' "$*"; }
# Shows a command as one would type it, then runs it with our folder and server.
shown() { printf '\n$'; for word in "$@"; do case $word in *[\ \*\"\(]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac; done; printf '\n'; }
run() { shown "$@"; "$@" 2>&1 | sed 's/^/  /'; }
# The same for one that must be refused: exit code 3, and nothing else will do.
refused() {
  shown "$@"
  set +e
  "$@" >"$room/out" 2>&1
  local code=$?
  set -e
  sed 's/^/  /' "$room/out"
  if [ "$code" -ne 3 ]; then say "expected a refusal (exit code 3), got $code"; exit 1; fi
}
countersign() { "$bin/countersign" "$@"; }
countersign-host() { "$bin/countersign-host" "$@"; }
peer() { "$bin/demo-peer" "$@" 2>/dev/null; }
wait_for() { for _ in $(seq 200); do [ -e "$1" ] && return; sleep 0.05; done; say "$1 never came"; exit 1; }
value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

cd "$room"
mkdir nats artifacts imposters
"$nats" --addr 127.0.0.1 --port -1 --ports_file_dir "$room/nats" >"$room/nats.log" 2>&1 &
jobs_started+=($!)
for _ in $(seq 200); do ls "$room"/nats/*.ports >/dev/null 2>&1 && break; sleep 0.05; done
url=$(tr -d '[]{}" ' <"$(ls "$room"/nats/*.ports)" | sed -n 's/.*nats:\(nats:\/\/[0-9.]*:[0-9]*\).*/\1/p' | head -n 1)
export COUNTERSIGN_DIR=$room/lattice COUNTERSIGN_HOST_DIR=$room/host COUNTERSIGN_NATS_URL=$url

start_broker() {
  "$bin/countersign" serve >"$room/broker.log" 2>&1 &
  broker=$!
  jobs_started+=("$broker")
  for _ in $(seq 200); do grep -q ready "$room/broker.log" && return; sleep 0.05; done
  cat "$room/broker.log"; exit 1
}

bold "1. A lattice is made, and a host joins it"
run countersign init
cp -r lattice old
start_broker
say "(the broker runs; its NATS server is $url)"
printf '\n$ countersign host invite | countersign-host join -\n'
"$bin/countersign" host invite 2>/dev/null | "$bin/countersign-host" join - 2>&1 | sed 's/^/  /'

bold "2. Components, signed with wasmCloud's own tools by an issuer called acme"
run countersign keys gen issuer --out acme.nk
acme=$("$bin/countersign" -o json keys show acme.nk | value public)
for guest in cart logger; do peer sign "$guests/$guest.wasm" "$guest.wasm" acme.nk "$guest" >/dev/null; done
say "cart.wasm imports wasi:logging and wasi:keyvalue; logger.wasm exports wasi:logging"
refused countersign explain cart.wasm --id cart

bold "3. The fix, act by act"
run countersign issuer add "$acme" --scope 'demo:*' --scope 'wasi:*' --kind component --kind provider --kind contract
run countersign component admit cart.wasm --id cart
for package in wasi:logging wasi:keyvalue; do
  name=${package#*:}
  countersign contract draft "$package" --issuer "$acme" --provider-issuer "$acme" >"$name.json"
  countersign contract sign "$name.json" --issuer-key acme.nk --out "$name.jwt" >/dev/null
  run countersign contract publish "$name.jwt"
  run countersign provider admit "native/$name@0.1.0"
  run countersign default put "$package" --bind builtin
done

bold "4. It starts: both imports answered by builtins, without any link"
run countersign-host run cart.wasm --id cart --invoke 'add("milk", 2)'

bold "5. A distributed logger is deployed and linked: it beats the builtin at the next start"
run countersign provider admit logger.wasm --id logger
cp logger.wasm artifacts/
run countersign link put cart logger --contract wasi:logging --because 'one log for the lattice'
run countersign-host run cart.wasm --id cart --artifacts artifacts --invoke 'add("milk", 3)'

bold "6. The link is deleted, and nothing falls back silently"
run countersign link del cart --contract wasi:logging --no-wait
refused countersign-host run cart.wasm --id cart --artifacts artifacts --invoke 'add("milk", 1)'
run countersign link put cart logger --contract wasi:logging --because 'back again'

bold "7. An imposter with an issuer of its own"
countersign keys gen issuer --out mallory.nk >/dev/null
peer sign "$guests/rival.wasm" rival.wasm mallory.nk logger >/dev/null
refused countersign provider admit rival.wasm --id logger

bold "8. An imposter with genuine claims, around other bytes"
peer graft logger.wasm "$guests/rival.wasm" grafted.wasm
refused countersign provider admit grafted.wasm --id logger

bold "9. An imposter on the wire, which says yes first"
countersign link del cart --contract wasi:logging --no-wait >/dev/null
"$bin/demo-peer" rogue "$url" 'countersign.v1.default.start.component' "$room/rogue.ready" >"$room/rogue.log" 2>&1 &
rogue=$!
jobs_started+=("$rogue")
wait_for "$room/rogue.ready"
say "(cart has no answer for wasi:logging now; the rogue permits everything)"
refused countersign-host run cart.wasm --id cart --artifacts artifacts --invoke 'add("milk", 1)'
sed 's/^/  /' "$room/rogue.log" | head -n 1
countersign link put cart logger --contract wasi:logging >/dev/null
say "(linked again: neither can the rogue deny)"
run countersign-host run cart.wasm --id cart --artifacts artifacts --invoke 'total("milk")'
kill "$rogue" 2>/dev/null || true

bold "10. Who answers wasi:logging for cart, and why?"
run countersign why cart --contract wasi:logging
run countersign link history cart

bold "11. Everybody else who tries"
heading
everybody_with_files
everybody_at_the_court
everybody_who_would_answer
everybody_who_would_join
everybody_on_the_wire

act_two
a_proof
a_backup

bold "20. The log proves it"
run countersign audit verify
kill -TERM "$broker"; wait "$broker" 2>/dev/null || true
a_backup_put_back
say "(the last rows of the table)"
heading
everybody_at_the_disk
printf '\n'
row=$(peer tamper lattice/log.db '"reason":"link_removed"' '"reason":"link_removes"')
say "(one byte of row $row of the log was changed)"
refused countersign audit verify

bold "That is the story."
say "$rows rows of others, each refused with the reason that was expected."
say "make test runs everything else; README.md follows one request file by file."
