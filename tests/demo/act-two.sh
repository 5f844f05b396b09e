# Act two, on the lattice of act one: what is done to a lattice that runs, as it was planned, by those who may.
#
# Sourced by run.sh, of whose tools it is made. `clerk` asks a store; each store answers with a number of its own.

# Refused, and for that very reason. Where it happened is the same each time, and left out.
refused_with() {
  local reason=$1
  shift
  shown "$@"
  set +e
  "$@" >"$room/out" 2>&1
  local code=$?
  set -e
  sed -e '/^ *\(folder\|host folder\|lattice\|broker\): /d' -e 's/^/  /' "$room/out"
  if [ "$code" -ne 3 ] || ! grep -Eq "^(refused: )?$reason: " "$room/out"; then
    say "expected the refusal $reason (exit code 3), got exit code $code"
    exit 1
  fi
}

# Recorded, and waiting for somebody else's signature: exit code 4. Keeps the id to be signed.
waits() {
  shown "$@"
  set +e
  "$@" >"$room/out" 2>&1
  local code=$?
  set -e
  sed 's/^/  /' "$room/out"
  waiting=$(sed -n 's/.*next: countersign approve //p' "$room/out")
  if [ "$code" -ne 4 ] || [ -z "$waiting" ]; then say "expected that it waits (exit code 4), got $code"; exit 1; fi
}

# A command as one would type it, whose output must hold each of these words.
tells() {
  local words=$1
  shift
  shown "$@"
  "$@" >"$room/out" 2>&1 || { cat "$room/out"; exit 1; }
  sed 's/^/  /' "$room/out"
  for word in $words; do grep -q -- "$word" "$room/out" || { say "expected to read $word"; exit 1; }; done
}

# Waits until a command's output holds a word, or, with `no`, until it does not any more.
until_it_says() {
  local not=
  if [ "$1" = no ]; then not=yes; shift; fi
  local word=$1
  shift
  for _ in $(seq 200); do
    "$@" >"$room/out" 2>&1 || true
    if grep -q -- "$word" "$room/out"; then [ -n "$not" ] || return 0; elif [ -n "$not" ]; then return 0; fi
    sleep 0.05
  done
  say "still${not:+ says}${not:- does not say} $word: $*"
  cat "$room/out"
  exit 1
}

# clerk is started and asks its store: that number must answer.
answered_by() {
  "$bin/countersign-host" -o json run clerk.wasm --artifacts artifacts --invoke 'ask()' >"$room/out" 2>&1 || { cat "$room/out"; exit 1; }
  local number
  number=$(value result <"$room/out")
  if [ "$number" != "$1" ]; then say "expected store $1 to answer clerk, got $number"; cat "$room/out"; exit 1; fi
  say "(clerk is started, and asks its store: \`$2\` answers, with its number $number)"
}
started_clerk=(countersign-host run clerk.wasm --artifacts artifacts --invoke 'ask()')
public_of() { "$bin/countersign" -o json keys show "$1" | value public; }

a_rotation() {
  bold "12. Act two. The key of acme is rotated as planned: first the plan, then an overlap, and it ends"
  countersign keys gen issuer --out acme-2.nk >/dev/null
  acme2=$(public_of acme-2.nk)
  say "(acme made another key, and proves to the administrator that it holds it)"
  printf '\n$ countersign issuer prove --issuer-key acme-2.nk > acme-2.proof\n'
  countersign issuer prove --issuer-key acme-2.nk >acme-2.proof
  local rotation=(issuer rotate "$acme" "$acme2" --proof acme-2.proof --overlap-until +3s)
  tells 'issuer_rotated nothing.was.recorded' countersign "${rotation[@]}" --plan
  run countersign "${rotation[@]}" --because 'yearly rotation'
  peer store west.wasm acme.nk west 2 >/dev/null
  peer store east.wasm acme-2.nk east 1 >/dev/null
  cp east.wasm west.wasm artifacts/
  # Its long call lasts longer where everything does.
  peer clerk clerk.wasm nova.nk $((3000 + SECONDS * 100)) >/dev/null
  countersign contract draft demo:kv --file clerk.wasm --issuer "$acme2" --provider-issuer "$acme" --provider-issuer "$acme2" >kv.json
  done_ contract sign kv.json --issuer-key acme-2.nk --out kv.jwt
  done_ contract publish kv.jwt
  say "(while both keys are good, the old one signs the store west, and the new one the store east)"
  run countersign provider admit west.wasm --id west
  run countersign provider admit east.wasm --id east
  until_it_says retired countersign issuer show "$acme"
  say "(the overlap is over; nobody had to do anything)"
  peer store late.wasm acme.nk late 3 >/dev/null
  refused_with issuer_retired countersign provider admit late.wasm --id late
}

two_people() {
  bold "13. A second administrator: from now on nobody adds an issuer alone"
  countersign keys gen administrator --out bob.nk >/dev/null
  run countersign admin put "$(public_of bob.nk)" --name bob --role operator
  waits countersign threshold put issuer-add 2 --because 'no one of us alone'
  tells 'is.approved' countersign --key bob.nk approve "$waiting"
  local nova
  nova=$(public_of nova.nk)
  waits countersign issuer add "$nova" --scope 'demo:*' --kind component --because 'nova writes the clerk'
  "$bin/countersign" -o json approve --list | grep -q "$waiting" || { say "$waiting is not listed"; exit 1; }
  refused_with signed_already countersign approve "$waiting"
  tells 'is.approved' countersign --key bob.nk approve "$waiting" --because 'I called nova, the key is theirs'
  done_ issuer show "$nova"
  done_ component admit clerk.wasm --id clerk
}

a_switched_link() {
  bold "14. A link is switched to another provider, and back; a pinned one is suspended when its provider changes"
  done_ link put clerk east --contract demo:kv
  answered_by 1 east
  run countersign link switch clerk demo:kv --to west --stage prepare
  answered_by 1 east
  run countersign link switch clerk demo:kv --stage cut-over
  answered_by 2 west
  run countersign link rollback clerk demo:kv --reason 'errors since the switch'
  answered_by 1 east
  tells 'prepared cut.over rolled errors' countersign link history clerk demo:kv
  run countersign link put clerk east --contract demo:kv --pin-provider "sha256=$(sha256sum east.wasm | cut -d ' ' -f 1)"
  peer store east-7.wasm acme-2.nk east 7 >/dev/null
  cp east-7.wasm artifacts/
  done_ provider admit east-7.wasm --id east
  say "(other bytes of east were admitted)"
  refused_with link_suspended "${started_clerk[@]}"
  run countersign link accept clerk demo:kv --reason 'reviewed the new bytes'
  answered_by 7 east
}

observe_before_enforce() {
  bold "15. Observe before enforce: for a while what would be refused runs and is told, so that nobody is surprised after it"
  local trolley=(countersign-host run cart.wasm --id trolley)
  refused_with component_unknown "${trolley[@]}"
  run countersign relax observe --until +1h --id first-week --because 'find out what still runs unregistered'
  tells 'component_unknown' "${trolley[@]}"
  tells 'trolley component_unknown first-week' countersign relax report
  run countersign component admit cart.wasm --id trolley
  run countersign relax end first-week --because 'everybody is registered'
  tells 'trolley' "${trolley[@]}"
  refused_with component_unknown countersign-host run cart.wasm --id barrow
}

operator_rules() {
  bold "16. What only this lattice must not do: an operator's rules, tried before they stand"
  cp "$rules"/only-labelled-hosts.* .
  tells 'host-has-a-zone cards-stay-in-their-zone' countersign rules test only-labelled-hosts.cases.json --rules only-labelled-hosts.cedar --full
  run countersign rules put only-labelled-hosts.cedar --because 'cards stay where they are handled'
  refused_with rule_forbids "${started_clerk[@]}"
  run countersign rules delete --because 'the hosts are to be labelled first'
  answered_by 7 east
}

a_revocation() {
  bold "17. An issuer is revoked while something runs on its word: the call under way ends, and no other begins"
  local nova lingering here
  nova=$(public_of nova.nk)
  here=$(public_of host/host.nk)
  printf "\n$ countersign-host run clerk.wasm --artifacts artifacts --call-timeout 60 --invoke 'linger()' &\n"
  "$bin/countersign-host" -o json run clerk.wasm --artifacts artifacts --call-timeout 60 --invoke 'linger()' >"$room/lingered" 2>&1 &
  lingering=$!
  jobs_started+=("$lingering")
  until_it_says stands countersign inventory --component clerk
  tells stands countersign inventory --host "$here" --component clerk
  tells 'recorded effective' countersign issuer revoke "$nova" --running drain --because 'nova lost its key'
  kill -0 "$lingering" 2>/dev/null || { say 'the call did not outlast the act'; cat "$room/lingered"; exit 1; }
  until_it_says draining countersign inventory --component clerk
  tells draining countersign inventory --host "$here" --component clerk
  wait "$lingering" || { say 'the call under way was not let end'; cat "$room/lingered"; exit 1; }
  say "(the call under way ended by itself, with the answer $(value result <"$room/lingered"))"
  until_it_says no clerk countersign inventory
  tells 'nothing.of.it.runs' countersign inventory --host "$here" --component clerk
  countersign audit tail | grep 'drained by the act of entry' >"$room/out" || { say 'no end was recorded'; exit 1; }
  say "audit tail: $(tail -n 1 "$room/out")"
  refused_with issuer_revoked "${started_clerk[@]}"
}

act_two() {
  issuer nova >/dev/null
  a_rotation
  two_people
  a_switched_link
  observe_before_enforce
  operator_rules
  a_revocation
}
