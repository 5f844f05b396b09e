# The last act, on the lattice that all the others have left behind: what was decided is shown to somebody else, and what
# was recorded cannot be taken back.
#
# Sourced by run.sh, of whose tools it is made.

a_proof() {
  bold "18. A proof of one decision, checked elsewhere: no folder, no broker, public keys alone"
  local digest
  digest=$("$bin/countersign" -o json status | value root)
  run countersign audit prove cart --out cart.proof
  mkdir elsewhere
  cp cart.proof elsewhere/
  say "(the file is carried to a folder that knows nothing of the lattice, with its digest on a slip of paper)"
  (
    unset COUNTERSIGN_DIR COUNTERSIGN_HOST_DIR COUNTERSIGN_NATS_URL
    cd elsewhere
    tells 'the.proof.holds cart' countersign --root "$digest" audit verify --proof cart.proof
    sed -i 's/cart/cars/g' cart.proof
    say "(somebody writes another component into the file)"
    refused countersign --root "$digest" audit verify --proof cart.proof
  )
}

a_backup() {
  bold "19. A backup, taken while the broker works, and put back by somebody who would like an act forgotten"
  done_ audit backup saved
  run countersign issuer revoke "$(public_of acme-2.nk)" --running keep --no-wait --because 'the act to be forgotten'
}

a_backup_put_back() {
  cp -r lattice put-back
  rm -f put-back/log.db-wal put-back/log.db-shm
  cp saved/log.db put-back/log.db
  say "(the broker is stopped, and the backup's log is put in the place of the log)"
  refused_with state_rollback countersign --dir put-back serve
}
