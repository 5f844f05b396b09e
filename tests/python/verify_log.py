#!/usr/bin/env python3
"""Verifies a log, its checkpoints, tiles and segments, or one exhibit: a second implementation, from the docs alone
(docs/log-format.md, and docs/wire.md for what a token is).

    verify_log.py log FOLDER [--root DIGEST] [--segments FOLDER]
    verify_log.py proof FILE --root DIGEST

Prints one line and ends with 0 where everything holds, with 3 where something does not. Python 3 and its standard
library. Each signed document is held to the key that its entry names; that the key was somebody's at the time, and what
was decided, is not judged again here, which is the other implementation's part.
"""

import base64
import functools
import hashlib
import json
import os
import re
import sqlite3
import sys


class Broken(Exception):
    """What does not hold."""


def need(holds, what):
    if not holds:
        raise Broken(what)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def strict_base64(text):
    return base64.b64decode(text, validate=True)


# Ed25519 (RFC 8032, section 5.1), verification alone.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    x, y, z, w = f - e, h - g, h + g, f + e
    return (x * y % P, z * w % P, y * z % P, x * w % P)


def point_times_both(one, a, other, b):
    """one times a and other times b, added: both at once, which is half the work."""
    both, result = point_add(a, b), (0, 1, 1, 0)
    for at in range(max(one.bit_length(), other.bit_length()) - 1, -1, -1):
        result = point_add(result, result)
        which = (one >> at & 1) + 2 * (other >> at & 1)
        if which:
            result = point_add(result, (a, b, both)[which - 1])
    return result


def point_equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_read(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point_read((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=4096)
def signed(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = point_read(key), point_read(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus = (P - a[0], a[1], a[2], P - a[3])
    return point_equal(point_times_both(s, BASE, k, minus), r)


# Entries.


def leaf_hash(entry):
    return sha256(b"\0", entry)


SHORT = {"b": "0008", "t": "0009", "n": "000a", "f": "000c", "r": "000d"}


def canonical(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    # Controls have one spelling, the long one.
    long = re.sub(r"\\(.)", lambda found: "\\u" + SHORT[found[1]] if found[1] in SHORT else found[0], text)
    return long.replace("\x7f", "\\u007f").encode()


def read_entry(raw):
    try:
        entry = json.loads(raw)
    except ValueError as error:
        raise Broken(f"no JSON: {error}") from error
    need(isinstance(entry, dict) and canonical(entry) == raw, "not in its canonical form")
    members = {"at_ms", "body", "epoch", "evidence", "index", "kind", "lattice", "law", "prev"}
    need(set(entry) == members, "other members than an entry has")
    return entry


def changes_nothing(entry):
    stays = {"ruling": "standby", "report": "ahead", "refusal": "id", "door": None}
    return entry["kind"] in stays and stays[entry["kind"]] not in entry["body"]


def events(entry):
    return entry["body"].get("events", []) if entry["kind"] == "governance" else []


# The tree (RFC 6962, section 2.1; RFC 9162, section 2.1.3).


def parent(left, right):
    return sha256(b"\1", left, right)


class Tree:
    """The roots of the complete subtrees at the right edge, the largest first."""

    def __init__(self):
        self.size, self.peaks = 0, []

    def append(self, leaf):
        node, rest = leaf, self.size
        while rest & 1:
            node, rest = parent(self.peaks.pop(), node), rest >> 1
        self.peaks.append(node)
        self.size += 1

    def root(self):
        if not self.peaks:
            return sha256()
        node = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            node = parent(left, node)
        return node


def inclusion_root(leaf, index, size, proof):
    need(0 <= index < size, "the entry is not among those of the checkpoint")
    node, place, last = leaf, index, size - 1
    for beside in proof:
        need(last != 0, "the proof is too long")
        if place & 1 or place == last:
            node = parent(beside, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = parent(node, beside)
        place, last = place >> 1, last >> 1
    need(last == 0, "the proof is too short")
    return node


# Checkpoints.


def read_log_key(text):
    origin, identity, key = text.split("+", 2)
    raw = strict_base64(key)
    need(len(raw) == 33 and raw[0] == 1, "the log's key is no Ed25519 key")
    need(sha256(origin.encode(), b"\n", raw)[:4].hex() == identity, "the id of the log's key is another")
    return origin, bytes.fromhex(identity), raw[1:]


CHECKPOINT = ("", "", "", "epoch ", "last ")
SEAL = (*CHECKPOINT, "first ", "moved ", "rests ")


def open_note(note, log_key, form=CHECKPOINT):
    origin, identity, key = read_log_key(log_key)
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = [line for line in signatures.splitlines() if line.startswith(f"\u2014 {origin} ")]
    need(lines, "the checkpoint has no signature of the log's origin")
    signature = strict_base64(lines[0].rsplit(" ", 1)[1])
    need(signature[:4] == identity, "the checkpoint is signed by another key")
    need(signed(key, text.encode(), signature[4:]), "the signature of the checkpoint does not verify")
    said = text.split("\n")
    need(said.pop() == "" and len(said) == len(form), "the checkpoint has other lines")
    need(all(line.startswith(begin) for line, begin in zip(said, form)), "the checkpoint has other extension lines")
    need(said[0] == origin, "the checkpoint is of another origin")
    numbers = {begin.strip(): line[len(begin) :] for line, begin in zip(said, form) if begin}
    read = {name: int(text) if name in ("epoch", "first") else bytes.fromhex(text) for name, text in numbers.items()}
    return {"size": int(said[1]), "root": strict_base64(said[2]), **read}


# A whole log.


def tile_path(level, index):
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return os.path.join("tile", str(level), *groups)


class Tiles:
    """The whole tiles as they come about, held to the files of the folder `tree`; one that is missing is derived."""

    def __init__(self, folder):
        self.folder, self.open, self.made = folder, [], []

    def append(self, leaf):
        level = 0
        while leaf is not None:
            if len(self.open) <= level:
                self.open.append([])
                self.made.append(0)
            self.open[level].append(leaf)
            if len(self.open[level]) < 256:
                return
            leaf = self.whole(level)
            level += 1

    def whole(self, level):
        hashes, self.open[level] = self.open[level], []
        path = tile_path(level, self.made[level])
        self.made[level] += 1
        if os.path.exists(os.path.join(self.folder, path)):
            with open(os.path.join(self.folder, path), "rb") as file:
                need(file.read() == b"".join(hashes), f"{path} is not the tile of its entries")
        tree = Tree()
        for one in hashes:
            tree.append(one)
        return tree.root()


def kept_notes(folder):
    older = os.path.join(folder, "checkpoints")
    names = sorted(os.listdir(older)) if os.path.isdir(older) else []
    paths = [os.path.join(older, name) for name in names if re.fullmatch("[0-9]{20}", name)]
    newest = os.path.join(folder, "checkpoint")
    paths += [newest] if os.path.exists(newest) else []
    notes = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            note = file.read()
        lines = note.split("\n")
        need(len(lines) > 1 and lines[1].isdecimal(), f"{path} is no checkpoint")
        notes.setdefault(int(lines[1]), []).append((path, note))
    return notes


class Restores:
    """Places of entries that are lost, and checkpoints of logs that are: each restore tells which."""

    def __init__(self):
        self.lost, self.before, self.contradicted = [], None, []

    def fill(self, index, before):
        if not self.lost:
            self.before = before
        self.lost.append(index)

    def restored(self, index, told):
        need(told["kept"] <= told["seen"] <= index, "it restores more than there is")
        if self.lost:
            need(self.lost == list(range(told["kept"], told["seen"])), "other places are filled than it tells to be lost")
            need(self.before.hex() == told["kept_sha256"], "it kept another log than this")
        named = {(end["size"], end["last"]) for end in told.get("disowned", [])}
        accounted = lambda size, last: told["kept"] < size <= told["seen"] or (size, last) in named
        self.contradicted = [(size, last, path) for size, last, path in self.contradicted if not accounted(size, last)]
        self.lost = []


class Segments:
    """Files of old entries, each held to its digest, its hashes, its seal, and the signed checkpoint over its end."""

    def __init__(self, log, folder):
        self.folder, self.lines, self.pieces, self.peaks = folder, {}, {}, []
        self.passed, self.hashes, self.moved, self.rests = 0, [], {}, bytes(32)
        has = log.execute("PRAGMA user_version").fetchone()[0] >= 2
        rows = log.execute("SELECT first, size, sha256, checkpoint FROM segments ORDER BY first") if has else []
        self.ahead = list(rows)
        self.frozen = dict(log.execute("SELECT idx, hash FROM frozen")) if has else {}

    def begin(self, tree):
        if not self.ahead or self.ahead[0][0] != tree.size:
            return
        first, size, digest, _ = self.ahead[0]
        self.peaks = [peak.hex() for peak in tree.peaks]
        path = self.folder and os.path.join(self.folder, f"segment-{first:012}-{size:012}.jsonl")
        if not path or not os.path.exists(path):
            return
        with open(path, "rb") as file:
            raw = file.read()
        need(sha256(raw) == digest, f"{path} is not the segment that the log names")
        *lines, seal = raw.splitlines()
        told = [json.loads(line) for line in lines]
        need([line["index"] for line in told] == list(range(first, size)), f"{path} has other entries")
        self.lines = {line["index"]: line for line in told}
        self.pieces.update(piece for line in told for piece in line.get("evidence", {}).items())
        self.seal = json.loads(seal)["segment"]

    def take(self, index, leaf):
        """The bytes of a place that is frozen, which must be one of a segment and of an entry that changes no state."""
        need(self.covers(index), "its bytes are neither here nor in a segment")
        self.passed += 1
        self.hashes.append(leaf)
        raw, document = self.entry(index)
        need(raw is None or changes_nothing(json.loads(raw)), "it must stand in the log itself")
        return raw, document

    def rest(self, entry, leaf):
        """What the state rests on, up to each entry that is here."""
        if not changes_nothing(entry):
            self.rests = sha256(self.rests, entry["index"].to_bytes(8, "big"), leaf)

    def recorded(self, entry):
        """A segment's own entry says how many places of it are frozen: none was hidden there since, none put back."""
        body = entry["body"]
        told = (body["moved"], body["sha256"])
        found = self.moved.pop((body["first"], body["size"]), told)
        need(found == told, "other places of its segment are frozen than it says, or its file is another")

    def entry(self, index):
        """The bytes of a frozen entry and its document, where the file is at hand."""
        line = self.lines.get(index)
        if line is None:
            return None, None
        document = line.get("document")
        return canonical(line["entry"]), document and strict_base64(document)

    def end(self, tree, log_key, leaf, epoch):
        if not self.ahead or self.ahead[0][1] != tree.size:
            return
        first, size, digest, note = self.ahead.pop(0)
        self.moved[first, size] = (self.passed, digest.hex())
        said = open_note(note.decode(), log_key, SEAL)
        found = {"size": size, "root": tree.root(), "epoch": epoch, "last": leaf, "first": first}
        found |= {"moved": sha256(*self.hashes), "rests": self.rests}
        need(said == found, "the segment that ends here was sealed over another log, or other places of it are frozen")
        self.passed, self.hashes = 0, []
        if self.lines:
            peaks = [peak.hex() for peak in tree.peaks]
            wanted = {"checkpoint": note.decode(), "first": first, "peaks": peaks, "peaks_before": self.peaks, "size": size}
            need(self.seal == wanted, "the seal of the segment is of another log")
        self.lines = {}

    def covers(self, index):
        return bool(self.ahead) and self.ahead[0][0] <= index < self.ahead[0][1]


def rows(log, frozen):
    """Every place in order: its hash, and its bytes and document where they are here."""
    whole = log.execute("SELECT idx, hash, bytes, document FROM entries ORDER BY idx")
    waiting = sorted(frozen.items(), reverse=True)
    for row in whole:
        while waiting and waiting[-1][0] < row[0]:
            yield (*waiting.pop(), None, None)
        need(not waiting or waiting[-1][0] != row[0], f"row {row[0]} is here and frozen")
        yield row
    while waiting:
        yield (*waiting.pop(), None, None)


def verify_log(folder, pinned, segments_folder=None):
    shelf = os.path.join(folder, "tree")
    notes, tree, tiles, restores = kept_notes(shelf), Tree(), Tiles(shelf), Restores()
    log = sqlite3.connect(f"file:{os.path.join(folder, 'log.db')}?mode=ro", uri=True)
    segments = Segments(log, segments_folder)
    before = {"hash": bytes(32), "at_ms": 0, "epoch": 0, "law": 1}
    lattice = log_key = papers = None
    held = passed = 0
    for index, found, raw, document in rows(log, segments.frozen):
        try:
            need(index == tree.size, "its index is not the next one")
            segments.begin(tree)
            document = document if raw is None else unpack(document, raw)
            if raw is None:
                raw, document = segments.take(index, found)
            elif index in segments.lines:
                need(segments.entry(index) == (raw, document), "the segment has another entry in its place")
            if raw is None:
                leaf, passed = found, passed + 1
            else:
                entry, leaf = read_entry(raw), leaf_hash(raw)
                need(found == leaf, "the hash beside the bytes is not theirs")
                need(entry["index"] == index, "its index is not the next one")
                need(entry["prev"] == before["hash"].hex(), "it does not name the entry before it")
                back = any("clock_acknowledged" in event for event in events(entry))
                need(back or entry["at_ms"] >= before["at_ms"], "its time is before that of the entry before it")
                epoch = index if entry["kind"] == "governance" else before["epoch"]
                need(entry["epoch"] == epoch, "its epoch is another")
                need(entry["law"] >= before["law"], "it was judged under an older law than the entry before it")
                if index == 0:
                    need(entry["kind"] == "inception", "the first entry is no inception")
                    need(pinned in (None, leaf.hex()), f"the log is of the lattice {leaf.hex()}")
                    lattice, log_key = entry["lattice"], entry["body"]["log_key"]
                    papers = {"inception": leaf.hex(), "sets": [entry["body"]["roots"]]}
                need(entry["lattice"] == lattice, "it is of another lattice")
                need(entry["evidence"] or not document, "a document lies beside it, and it rests on none")
                check_documents(entry, evidence(log, segments, entry, document), papers)
                if entry["kind"] == "lost":
                    restores.fill(index, before["hash"])
                if entry["kind"] == "freeze":
                    segments.recorded(entry)
                for event in events(entry):
                    log_key = event.get("warrant_installed", {}).get("log_key", log_key)
                    if "log_restored" in event:
                        restores.restored(index, event["log_restored"]["restore"])
                segments.rest(entry, leaf)
                before = {"hash": leaf, **{name: entry[name] for name in ("at_ms", "epoch", "law")}}
            before["hash"] = leaf
            tree.append(leaf)
            tiles.append(leaf)
            for path, note in notes.pop(tree.size, []):
                said = open_note(note, log_key)
                if said["last"] != leaf:
                    restores.contradicted.append((said["size"], said["last"].hex(), path))
                    continue
                need(said["root"] == tree.root(), f"the tree's root is not the one that was signed in {path}")
                need(said["epoch"] == before["epoch"], f"{path} names another epoch")
                held += 1
            segments.end(tree, log_key, leaf, before["epoch"])
        except Broken as broken:
            raise Broken(f"row {index}: {broken}") from broken
    need(tree.size, "the log is empty")
    need(not notes, f"a checkpoint was signed for {max(notes, default=0)} entries, the log ends at {tree.size}")
    need(not segments.ahead, "the log ends before a segment of it does")
    need(not segments.moved, "no entry tells of a segment")
    for size, _, path in restores.contradicted:
        raise Broken(f"row {size - 1}: {path} was signed for another entry, and no restore tells that it is lost")
    said = f"{tree.size} entries hold, tree root {tree.root().hex()}, {held} checkpoints"
    return said + (f", {passed} by their hash alone" if passed else "")


def evidence(log, segments, entry, document):
    """Each piece that the entry names, by its digest: the document first."""
    pieces = []
    for place, name in enumerate(entry["evidence"]):
        piece = document
        if place:
            row = log.execute("SELECT bytes FROM evidence WHERE sha256 = ?", (bytes.fromhex(name),)).fetchone()
            piece = row[0] if row else segments.pieces.get(name)
            piece = strict_base64(piece) if isinstance(piece, str) else piece
        need(piece is not None, f"evidence {name} is missing")
        need(sha256(piece).hex() == name, f"evidence {name} was changed")
        pieces.append(piece)
    return pieces


# What was signed.


def check_documents(entry, pieces, papers):
    """Holds the document of an entry, and the statements that came with it, to the keys that are named."""
    kind, body = entry["kind"], entry["body"]
    if kind not in ("ruling", "report", "governance", "refusal"):
        need(not pieces, "an entry of its kind rests on no evidence")
        return
    need(pieces, "what it judged is not named")
    token = pieces[0].decode()
    named = "request_sha256" if kind in ("ruling", "report") else "token_sha256"
    need(body[named] == entry["evidence"][0], "the document is not the one that it is about")
    signer = body.get("host") or body.get("by")
    if signer:
        typ = {"ruling": "start", "report": "inventory"}.get(kind, "command")
        need(open_token(token, typ)["iss"] == signer, "the document is of another than the entry names")
    else:
        unsent(json_type(pieces[0]), [piece.decode() for piece in pieces], events(entry), papers)
    # A statement that does not hold may be why something was refused, or what was relaxed.
    if kind == "governance" or (kind == "ruling" and "reason" not in body and "relaxed" not in body):
        for piece in pieces[1:]:
            check_statement(piece)


def unsent(typ, tokens, told, papers):
    """What nobody commands: warrants, changes of the roots, joins."""
    if typ == "warrant":
        warrant = open_warrant(tokens[0], papers["sets"], papers["inception"])
        for event in told:
            installed = event.get("warrant_installed", {})
            need(installed.get("log_key") in (None, warrant["log_key"]), "the warrant names another key of the log")
    elif typ == "root":
        new = follow_roots(papers["sets"], tokens, papers["inception"])
        if any("roots_changed" in event for event in told):
            papers["sets"].append(new)
    else:
        join, proof = open_token(tokens[0], "join"), open_token(tokens[1], "invite")
        need(join["proof_sha256"] == sha256(tokens[1].encode()).hex(), "the join names another invitation")
        need(proof["host"] == join["iss"], "the invitation is for another host")


def check_statement(piece):
    parts = piece.split(b".")
    if len(parts) != 3:
        return
    first, second, third = (part.decode() for part in parts)
    key = nkey(json.loads(base64url(second))["iss"])
    need(signed(key, f"{first}.{second}".encode(), base64url(third)), "the signature of a statement does not verify")


def unpack(stored, entry):
    """The token that was stored as these bytes beside its entry's; most are packed."""
    if not stored or stored[0]:
        return stored
    size = int.from_bytes(stored[1:5], "little")
    plain = lz4_block(stored[5:], USUAL + entry, size)
    parts = plain.split(b"\0", 2)
    need(len(plain) == size and len(parts) == 3, "the document beside it is not packed as documents are")
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def lz4_block(packed, known, most):
    """An LZ4 block, whose text follows `known`."""
    text, place = bytearray(known), 0

    def length(nibble):
        nonlocal place
        while nibble >= 15 and packed[place] == 255:
            nibble, place = nibble + 255, place + 1
        if nibble >= 15:
            nibble, place = nibble + packed[place], place + 1
        return nibble

    try:
        while place < len(packed) and len(text) <= len(known) + most:
            token, place = packed[place], place + 1
            literals = length(token >> 4)
            text += packed[place : place + literals]
            place += literals
            if place >= len(packed):
                break
            back, place = int.from_bytes(packed[place : place + 2], "little"), place + 2
            need(0 < back <= len(text), "the document beside it refers to nothing")
            for _ in range(length(token & 15) + 4):
                text.append(text[-back])
    except IndexError:
        raise Broken("the document beside it ends too soon") from None
    return bytes(text[len(known) :])


USUAL = (
    b'{"alg":"EdDSA","typ":"countersign.start.v1"}\0'
    b'{"aud":"default","component":{"claims_sha256":"","id":"","sha256":"","subject":"M"},"iat":17,'
    b'"imports":[{"interfaces":[""],"package":"wasi:","version":"0.2.0"}],"inventory_sha256":"","iss":"N",'
    b'"jti":"","seen":{"entry_sha256":"","epoch":,"index":}}\0'
)


# Exhibits.


def base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def nkey(text):
    raw = base64.b32decode(text + "=" * (-len(text) % 8))
    need(len(raw) == 35, "a key is no nkey")
    return raw[1:33]


def header(kind):
    text = base64.urlsafe_b64encode(f'{{"alg":"EdDSA","typ":"countersign.{kind}.v1"}}'.encode())
    return text.rstrip(b"=").decode()


def open_token(token, kind):
    first, second, third = token.split(".")
    need(first == header(kind), f"not a {kind}")
    document = json.loads(base64url(second))
    key = nkey(document["iss"])
    need(signed(key, f"{first}.{second}".encode(), base64url(third)), f"the signature of the {kind} does not verify")
    return document


def follow_roots(sets, change, inception):
    """The next set of roots, to which enough of it and of the one before agreed."""
    documents = [open_token(token, "root") for token in change]
    roots, new = sets[-1], documents[0]["roots"]
    need(documents[0]["inception_sha256"] == inception, "the change is of the roots of another lattice")
    need(documents[0]["serial"] == len(sets), "the change of the roots is not the next one")
    named = [documents[0].get("also", [])] + [document.get("also", []) for document in documents[1:]]
    need(named[0] == [sha256(token.encode()).hex() for token in change[1:]], "the change names other signers")
    same = [{**document, "iss": None, "also": None} for document in documents]
    need(all(document == same[0] for document in same) and not any(named[1:]), "the roots signed different changes")
    signers = {document["iss"] for document in documents}
    for quorum in (roots, new):
        need(len(signers & set(quorum["keys"])) >= quorum["threshold"], "too few roots signed their change")
    return new


def open_warrant(token, sets, inception):
    warrant = open_token(token, "warrant")
    need(warrant["inception_sha256"] == inception, "the warrant is for another lattice")
    others = warrant.pop("cosigned", {})
    for name, signature in others.items():
        statement = canonical({**warrant, "iss": name})
        statement = header("warrant") + "." + base64.urlsafe_b64encode(statement).rstrip(b"=").decode()
        need(signed(nkey(name), statement.encode(), base64url(signature)), f"{name} did not sign the warrant")
    signers = {warrant["iss"], *others}
    enough = [roots for roots in sets if signers <= set(roots["keys"]) and len(signers) >= roots["threshold"]]
    need(enough, "no roots of this lattice signed the warrant")
    return warrant


def verify_proof(path, pinned):
    with open(path, "rb") as file:
        raw = file.read().rstrip(b"\n")
    exhibit = json.loads(raw)
    members = {"checkpoint", "entry", "evidence", "format", "inception", "inclusion", "roots", "warrant"}
    need(canonical(exhibit) == raw and set(exhibit) == members, "no exhibit in canonical form")
    need(exhibit["format"] == "countersign.exhibit.v1", "another format")
    inception = leaf_hash(exhibit["inception"].encode()).hex()
    need(inception == pinned, f"the exhibit is from the lattice of {inception}")
    first = read_entry(exhibit["inception"].encode())
    sets = [first["body"]["roots"]]
    for change in exhibit["roots"]:
        sets.append(follow_roots(sets, change, inception))
    warrant = open_warrant(exhibit["warrant"], sets, inception)
    said = open_note(exhibit["checkpoint"], warrant["log_key"])
    raw = exhibit["entry"].encode()
    entry = read_entry(raw)
    need(entry["lattice"] == first["lattice"], "the entry is of another lattice")
    proof = [bytes.fromhex(one) for one in exhibit["inclusion"]]
    root = inclusion_root(leaf_hash(raw), entry["index"], said["size"], proof)
    need(root == said["root"], "the entry does not lead to the root that was signed")
    pieces = [strict_base64(piece) for piece in exhibit["evidence"]]
    need([sha256(piece).hex() for piece in pieces] == entry["evidence"], "the evidence is not what the entry names")
    papers = {"inception": inception, "sets": sets}
    # A change of the roots was agreed to by those of some day before.
    days = range(len(sets)) if entry["evidence"] and json_type(pieces[0]) == "root" else [len(sets) - 1]
    check_any(entry, pieces, papers, days)
    return f"entry {entry['index']} of {said['size']} holds, warrant {warrant['serial']}"


def check_any(entry, pieces, papers, days):
    failed = None
    for day in days:
        try:
            return check_documents(entry, pieces, {**papers, "sets": papers["sets"][: day + 1]})
        except Broken as broken:
            failed = broken
    raise failed


def json_type(token):
    typ = json.loads(base64url(token.decode().split(".")[0]))["typ"]
    return typ.removeprefix("countersign.").removesuffix(".v1")


def main(arguments):
    options = {"--root": None, "--segments": None}
    for option in options:
        if option in arguments:
            at = arguments.index(option)
            options[option] = arguments[at + 1]
            del arguments[at : at + 2]
    pinned, segments = options.values()
    if len(arguments) != 2 or arguments[0] not in ("log", "proof"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(verify_log(arguments[1], pinned, segments) if arguments[0] == "log" else verify_proof(arguments[1], pinned))
        return 0
    except (Broken, sqlite3.DatabaseError, ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"broken: {error}")
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
