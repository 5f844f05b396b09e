# Everybody else who tries, on the running lattice, with what each is told: one row for each class of imposter.
#
# Sourced by run.sh. A row that ends otherwise than with its reason ends the demo.

WIDTHS='  %-48s %-28s %s\n'
rows=0

heading() { printf "\n$WIDTHS" 'WHAT IS TRIED' 'WHO TRIES' 'REFUSED WITH'; }

# What a program printed last as JSON says of itself; a door that signs nothing for strangers is quoted there.
reason_in() {
  grep -o 'somebody unsigned said `[a-z_]*' "$1" | head -n 1 | cut -d '`' -f 2 | grep . ||
    grep -o '"error":"[a-z_]*"' "$1" | tail -n 1 | cut -d '"' -f 4
}

# One row: what, who, the reason that must come, and the command that tries.
tries() {
  local what=$1 who=$2 expected=$3
  shift 3
  set +e
  "$@" >"$room/tried" 2>&1
  local code=$?
  set -e
  local told
  told=$(reason_in "$room/tried" || true)
  if [ "$code" -eq 0 ] && [ "$1" != asks ] || [ "$told" != "$expected" ]; then
    say "$what, by $who: expected $expected, got ${told:-nothing} (exit code $code)"
    sed 's/^/  /' "$room/tried"
    exit 1
  fi
  printf "$WIDTHS" "$what" "$who" "$told"
  rows=$((rows + 1))
}

# The two doors: a host that would start it, and the court.
door() { "$bin/countersign-host" -o json run "$1" --id cart --artifacts "${shelf:-artifacts}" "${@:2}"; }
court() { "$bin/countersign" -o json "$@"; }
done_() { "$bin/countersign" "$@" >/dev/null 2>&1 || { say "not done: $*"; "$bin/countersign" "$@" || true; exit 1; }; }
asks() { peer ask "$url" "$1" heard; }
issuer() { done_ keys gen issuer --out "$1.nk"; "$bin/countersign" -o json keys show "$1.nk" | value public; }
# A guest signed by an issuer under a name, with wasmCloud's own tools.
made() { peer sign "$guests/$1.wasm" "$2.wasm" "$3.nk" "$4" >/dev/null; }

everybody_with_files() {
  peer imposters "$guests/cart.wasm" acme.nk imposters
  peer graft cart.wasm "$guests/greeter.wasm" imposters/replayed.wasm
  local file what who reason
  while IFS='|' read -r file what who reason; do
    tries "$what" "$who" "$reason" door "imposters/$file.wasm"
  done <<'ROWS'
unsigned|a component without claims|a stranger|claims_missing
forged-signature|the name of acme, signed by another key|a stranger|signature_invalid
self-signed|claims signed by their own subject|a stranger|self_signed
weak-issuer-key|a key that anybody can sign for|a stranger|key_weak
algorithm-none|the algorithm `none`|a stranger|token_header
key-in-the-header|a header that brings its own key|a stranger|token_header
algorithm-relabelled|a good signature under another algorithm's name|a careless signer|token_header
issuer-named-twice|acme's name first, the signer's name second|a stranger|json_duplicate
malleable-signature|a second signature made from the first|whoever heard it|signature_invalid
padded|the same token in another spelling|whoever heard it|token_malformed
replayed|genuine claims around other bytes|whoever has a copy|hash_mismatch
two-claims-sections|two claims in one file|whoever has a copy|claims_duplicate
bytes-after-the-claims|bytes behind the claims|whoever has a copy|claims_misplaced
cut-short|a file cut short|the network|wasm_malformed
machine-code|machine code instead of WebAssembly|a stranger|wasm_precompiled
claims-of-a-provider|claims of a provider in a component|acme, by mistake|claims_kind
claims-of-an-older-form|claims of a revision that binds fewer bytes|an old tool|claims_revision
claims-have-ended|claims whose time is over|acme, too late|expired
claims-not-yet-valid|claims whose time has not begun|acme, too early|not_yet_valid
claims-from-the-future|claims signed tomorrow|a clock set ahead|issued_in_future
imports-more-than-it-claims|an import that the claims do not list|a component of acme's|undeclared_import
ROWS
  issuer mallory2 >/dev/null
  made cart unknown mallory2 cart
  tries 'an issuer whom nobody trusts' 'mallory' issuer_unknown door unknown.wasm
  done_ issuer add "$(issuer gone)" --scope 'demo:*' --scope 'wasi:*'
  made cart revoked gone cart
  done_ issuer revoke "$("$bin/countersign" -o json keys show gone.nk | value public)" --no-wait
  tries "an issuer whose key was stolen, and revoked" "the thief" issuer_revoked door revoked.wasm
  done_ issuer add "$(issuer papers)" --scope '*' --kind contract
  made cart paper papers cart
  tries 'an issuer of contracts signs a component' 'a trusted issuer' issuer_kind door paper.wasm
  done_ issuer add "$(issuer beta)" --scope 'demo:*' --scope 'wasi:*'
  made cart taken beta cart
  tries "a component of acme's, signed by beta" 'another trusted issuer' subject_owned door taken.wasm
  made cart other acme till
  tries 'another component under the id of `cart`' "a component of acme's" component_id_not_yours door other.wasm
  for trick in 'trav-dotdot|a path that climbs out of the archive|archive_entry' \
    'symlink|a link in the archive|archive_entry' 'extra-target|a program that no hash covers|archive_unsigned' \
    'hash-mismatch|a program replaced in its archive|hash_mismatch' \
    'forged-sig|an archive under a forged name|signature_invalid' 'no-claims|an archive without claims|claims_missing'; do
    IFS='|' read -r file what reason <<<"$trick"
    tries "$what" 'a stranger' "$reason" court provider admit "$vectors/claims-sample/par/$file.par" --id archive
  done
}

everybody_at_the_court() {
  done_ issuer add "$(issuer narrow)" --scope 'demo:shop' --kind provider --kind component --kind contract
  made rival narrowed narrow narrowed
  tries 'a logger by an issuer for `demo:shop`' 'a trusted issuer' issuer_scope court provider admit narrowed.wasm --id narrowed
  countersign contract draft wasi:logging --issuer "$("$bin/countersign" -o json keys show narrow.nk | value public)" >narrow.json
  done_ contract sign narrow.json --issuer-key narrow.nk --out narrow.jwt
  tries 'a contract beyond its signer'\''s scope' 'a trusted issuer' issuer_scope court contract publish narrow.jwt
  countersign contract draft wasi:logging --issuer "$acme" --provider-issuer "$acme" >newer.json
  done_ contract sign newer.json --issuer-key acme.nk --out newer.jwt
  done_ contract publish newer.jwt
  tries 'an older revision of a contract' 'whoever has a copy' contract_downgrade court contract publish logging.jwt
  tries 'a contract whose name looks alike' 'a stranger' name_malformed court link put cart logger --contract 'wаsi:logging'
  tries 'a key from the pages of a standard' 'a demo' key_published court issuer add \
    "$(sed -n 's/.*"public": *"\(A[A-Z2-7]*\)".*/\1/p' "$vectors/nkeys/nkeys.json" | head -n 1)" --scope '*'
  tries 'a seed where a public key belongs' 'a tired operator' secret_in_input court issuer add "$(cat mallory2.nk)" --scope '*'
  done_ keys gen administrator --out eve.nk
  tries 'a command of an unknown administrator' 'eve' administrator_unknown court --key eve.nk host invite
  tries 'a command for another lattice' 'an administrator' lattice_mismatch court -x other host invite
}

everybody_who_would_answer() {
  mkdir -m 755 builtins
  install -m 644 logger.wasm builtins/logger.wasm
  done_ link del cart --contract wasi:logging --no-wait
  tries 'a link deleted, a builtin in wait' 'a builtin' link_removed door cart.wasm --builtins builtins
  done_ link del cart --contract wasi:logging --accept-default --no-wait
  tries 'a second builtin beside the first' 'an admitted builtin' ambiguous door cart.wasm --builtins builtins
  done_ link put cart logger --contract wasi:logging
  done_ provider retire logger --no-wait
  tries 'a refused link beside a good builtin' 'a builtin' provider_retired door cart.wasm --builtins builtins
  done_ provider admit logger.wasm --id logger
  done_ link put cart logger --contract wasi:keyvalue
  tries 'a logger linked as the key-value store' 'an admitted provider' provider_version door cart.wasm
  done_ link del cart --contract wasi:keyvalue --accept-default --no-wait
  mkdir swapped
  cp rival.wasm swapped/logger.wasm
  shelf=swapped
  tries "a provider's file swapped for another" 'whoever writes the folder' artifact_unavailable door cart.wasm
  shelf=artifacts
  chmod 777 builtins
  tries 'a folder of builtins that anybody may write to' 'anybody on the host' file_unsafe door cart.wasm --builtins builtins
  chmod 755 builtins
  cp rival.wasm builtins/a.wasm
  rm builtins/logger.wasm
  done_ link del cart --contract wasi:logging --accept-default --no-wait
  done_ provider retire native/logging@0.1.0 --no-wait
  tries 'an unadmitted builtin whose name sorts first' 'anybody on the host' builtin_absent door cart.wasm --builtins builtins
  done_ provider admit native/logging@0.1.0
  done_ link put cart logger --contract wasi:logging
  peer spinner spin.wasm acme.nk >/dev/null
  done_ component admit spin.wasm --id spin
  tries 'a component that never ends' "a component of acme's" limit_exceeded \
    "$bin/countersign-host" -o json run spin.wasm --call-timeout 1 --invoke 'spin()'
}

# Listens while a host starts cart, and keeps the question and its answer.
hear() {
  rm -f ready
  "$bin/demo-peer" listen "$url" "$1" "$2" ready 2>/dev/null &
  local ears=$!
  wait_for ready
  door cart.wasm "${@:3}" >/dev/null 2>&1
  wait_for "$2.answer"
  wait "$ears"
}

# Answers in the broker's place, while the broker is held.
answers() {
  local what=$1 who=$2 expected=$3 way=$4 said=$5
  rm -f ready
  "$bin/demo-peer" repeat "$url" "$way" "$said" ready 2>/dev/null &
  local liar=$!
  wait_for ready
  tries "$what" "$who" "$expected" door cart.wasm --timeout 1
  kill "$liar" 2>/dev/null || true
}

everybody_on_the_wire() {
  made greeter greeter acme greeter
  hear default heard
  "$bin/countersign" host invite 2>/dev/null | "$bin/countersign-host" --host-dir second join - >/dev/null 2>&1
  COUNTERSIGN_HOST_DIR=$room/second hear default others
  tries 'a question of a host that never joined' 'a rogue host' host_unknown asks stranger
  tries "a question under another host's name" 'a rogue host' signature_invalid asks forged
  elsewhere
  kill -STOP "$broker"
  answers 'an answer without a signature' 'a client of the wire' broker_unreachable unsigned heard
  answers "an answer under the broker's papers, own key" 'a client of the wire' broker_key_unknown own-key heard
  answers 'a genuine answer, altered to fit the question' 'a client of the wire' signature_invalid altered heard
  answers 'a genuine answer to an earlier question' 'a client of the wire' answer_mismatch replayed heard
  answers 'a genuine answer to another host' 'a client of the wire' answer_mismatch replayed others
  answers "a genuine answer of another lattice's broker" 'another lattice' broker_key_unknown replayed far
  tries 'no answer at all' 'the wire' broker_unreachable door cart.wasm --timeout 1
  kill -CONT "$broker"
  # Nobody is answered there; how many were turned away stands in the log once the broker has stopped.
  peer ask "$url" misdirected heard
}

# A broker of another lattice on the same server, and what it answered.
elsewhere() {
  (
    export COUNTERSIGN_DIR=$room/far-lattice COUNTERSIGN_HOST_DIR=$room/far-host
    done_ -x far init
    done_ issuer add "$acme" --scope '*'
    done_ component admit greeter.wasm --id cart
    "$bin/countersign" serve >"$room/far.log" 2>&1 &
    local far=$!
    for _ in $(seq 200); do grep -q ready "$room/far.log" && break; sleep 0.05; done
    "$bin/countersign" host invite 2>/dev/null | "$bin/countersign-host" join - >/dev/null 2>&1
    rm -f ready
    "$bin/demo-peer" listen "$url" far far ready 2>/dev/null &
    wait_for ready
    "$bin/countersign-host" run greeter.wasm --id cart >/dev/null 2>&1
    wait_for far.answer
    kill -TERM "$far"
    wait
  )
}

everybody_who_would_join() {
  "$bin/countersign" host invite >once 2>/dev/null
  "$bin/countersign-host" --host-dir third join once >/dev/null 2>&1
  # A stranger at the door gets no signed word; what it was turned away for is counted, and shown at the end.
  if "$bin/countersign-host" --host-dir fourth join once --timeout 1 >/dev/null 2>&1; then say 'an invitation was used twice'; exit 1; fi
  done_ host ban "$("$bin/countersign" -o json keys show third/host.nk | value public)" --no-wait
  tries 'a host that was banned' 'a banned host' host_banned env COUNTERSIGN_HOST_DIR="$room/third" \
    "$bin/countersign-host" -o json run cart.wasm --artifacts artifacts
}

# One row for what the door turned away without a word, and counted in the log.
counted() {
  if ! grep -q "[0-9] x $3" door.json; then say "$1, by $2: nobody counted $3"; cat door.json; exit 1; fi
  printf "$WIDTHS" "$1" "$2" "$3"
  rows=$((rows + 1))
}

# After the broker has stopped: what its door counted, and who writes its disk.
everybody_at_the_disk() {
  "$bin/countersign" -o json audit tail -n 50 >door.json
  counted 'an invitation used a second time' 'a rogue host' invite_unknown
  counted 'an answer asked to where administrators command' 'a client of the wire' reply_elsewhere
  cp -r lattice rolled-back
  rm -f rolled-back/log.db*
  cp old/log.db* rolled-back/
  tries 'the log put back to an older one' 'a restorer of backups' state_rollback \
    timeout 20 "$bin/countersign" -o json --dir "$room/rolled-back" serve
}
