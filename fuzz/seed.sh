#!/usr/bin/env bash
# Fills fuzz/corpus from tests/vectors: each document as it travels, and its payload bare, which mutates better; and
# every earlier finding.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 - <<'PYTHON'
import base64, hashlib, json, pathlib

VECTORS, CORPUS = pathlib.Path("tests/vectors"), pathlib.Path("fuzz/corpus")
ISSUER = "AALEYWZJYLQ2HKFR43C74CDFUDKJWRSY2WY25XE6IP4YZ4LWQNOFRZKK"  # The issuer that the bodies sign as.


def seed(targets, data):
    for target in targets.split():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def payload(token):
    text = token.split(b".")[1]
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def bare(document):
    lines = document.split(b"\n")
    return b"\n".join(payload(line) if line.startswith(b"ey") else line for line in lines)


def claims(token):
    seed("token_claims", token)
    try:
        body = json.loads(payload(token))
        body["iss"] = ISSUER
        seed("token_claims", json.dumps(body, separators=(",", ":")).encode())
    except (ValueError, IndexError, TypeError):
        pass


KINDS = {
    "answer": "answer", "command": "command", "contract": "contract", "start": "question", "claims": "token_claims",
    "invite": "join_warrant_receipt_view", "join": "join_warrant_receipt_view", "view": "join_warrant_receipt_view",
    "warrant": "join_warrant_receipt_view", "warrant-rotation": "join_warrant_receipt_view",
    "query": "query_root_inventory_withdrawals", "root": "query_root_inventory_withdrawals",
    "host-inventory": "query_root_inventory_withdrawals", "growth": "query_root_inventory_withdrawals",
    "grown": "query_root_inventory_withdrawals", "withdrawals": "query_root_inventory_withdrawals", "receipt": "join_warrant_receipt_view",
}
for path in sorted((VECTORS / "documents").iterdir()):
    data = path.read_bytes()
    if path.name in KINDS:
        seed(KINDS[path.name], data)
        seed(KINDS[path.name], bare(data))
        seed("json", payload(data.split(b"\n")[0]))
    elif path.name == "exhibit":
        seed("exhibit", data)
    elif path.name.startswith("entry"):
        seed("entry json", data)
    elif path.name == "checkpoint":
        seed("checkpoint", data)
        seed("checkpoint", data.split(b"\n\n")[0] + b"\n")
    else:
        seed("json", data)

for path in sorted((VECTORS / "rulings").glob("*.json")):
    vector = json.loads(path.read_bytes())
    for entry in vector.get("log", []):
        seed("entry json", entry.encode())
        # What was done once, as operations of a command.
        for event in json.loads(entry)["body"].get("events", []):
            seed("json", json.dumps(event).encode())

for path in sorted((VECTORS / "wire-claims").glob("*.json")):
    vector = json.loads(path.read_bytes())
    if "jwt" in vector:
        claims(vector["jwt"].encode())
    if "base64" in vector:
        seed("wasm" if ".wasm." in path.name else "archive", base64.b64decode(vector["base64"]))

cases = json.loads((VECTORS / "claims-sample/jwt/cases.json").read_bytes())
seed("trust", json.dumps(cases["trust"]).encode())
entry = {"key": ISSUER, "scope": ["*", "wasi:*", "wasi:logging"], "kinds": ["component", "provider", "contract"],
         "max_lifetime_s": 86400, "revoked_at": 1795350000, "reason": "retired"}
seed("trust json", json.dumps({"issuers": [entry]}).encode())
for case in cases["cases"]:
    token = case.get("token") or case.get("jwt")
    if isinstance(token, str):
        claims(token.encode())
for kind, target in (("wasm", "wasm"), ("par", "archive")):
    for path in sorted((VECTORS / "claims-sample" / kind).iterdir()):
        if path.suffix != ".json":
            seed(target, path.read_bytes())
for path in sorted(pathlib.Path("tests/guests").glob("*.wasm")):
    seed("wasm", path.read_bytes())

nkeys = json.loads((VECTORS / "nkeys/nkeys.json").read_bytes())
for text in sorted({text for text in json.dumps(nkeys).split('"') if len(text) in range(50, 64)}):
    seed("nkey names", text.encode())
seed("nkey", bytes(range(32)))
for text in ("default", "wasi:logging", "wasi:logging/logging@0.1.0-draft", "0.2.12\n0.2.3", "0.1.0-draft\n0.1.0-draft",
             "wasi:*\nwasi:logging", "*\na:b", "native/logging@0.1.0", "wasmcloud:builtin:logging", "0.2", "1", "0.0.3"):
    seed("names", text.encode())

# A command of every operation; digests of statements are filled in by the body.
ZERO, KEY = "0" * 64, {"issuer": ISSUER, "host": "NBHS47UGOUDSXMPUFEDBTEM23RQAJ32JYLSETEEDZQMIJB2UT4QWH62T"}
LINK = {"component": "cart", "package": "wasi:logging", "name": "default"}
NATIVE = {"sha256": "8d0659e58e7f6e76ac7829644e4c03a8b70962e5867aab0d419eff9757645c26", "subject": "native/logging@0.1.0"}
SERVES = [{"interfaces": ["logging"], "package": "wasi:logging", "version": "0.1.0-draft"}]
OPERATIONS = [
    {"add_issuer": {"key": "AD72EABDR7WBHXCROGQWJM3BBUDT2CGHOQUUP4IVU46GLIC5CSTUM77N", "kinds": ["component"], "scope": ["a:*"], "max_lifetime_s": 9}},
    {"revoke_issuer": {"key": KEY["issuer"]}},
    {"publish_contract": {"package": "wasi:logging", "sha256": ZERO}},
    {"withdraw_contract": {"package": "wasi:logging"}},
    {"put_default": {"bind": "never", "package": "wasi:logging"}},
    {"delete_default": {"package": "wasi:logging"}},
    {"admit_component": {"claims_sha256": ZERO, "exports": SERVES, "id": "cart", "imports": SERVES, "sha256": ZERO}},
    {"retire_component": {"id": "cart"}},
    {"admit_provider": {"claims_sha256": ZERO, "id": "other", "serves": SERVES, "sha256": ZERO, "source": "exports", "subject": "MCUWTQ3SWSL6WMWIBS3YUDWZ62FBPVAZTFT3J7YMUUS5JUWUP7GVGLSI"}},
    {"retire_provider": {"sha256": NATIVE["sha256"]}},
    {"ban_host": {"host": KEY["host"]}},
    {"put_link": {**LINK, "provider": NATIVE["subject"], "sha256": NATIVE["sha256"]}},
    {"put_link": {**LINK, "name": "other", "provider": NATIVE["subject"], "sha256": NATIVE["sha256"], "config_sha256": ZERO}},
    {"delete_link": {**LINK, "accept_default": True}},
]
documents = VECTORS / "documents"
command = json.loads(payload((documents / "command").read_bytes()))
statement = {"revision": 2, **{k: v for k, v in json.loads(payload((documents / "contract").read_bytes())).items() if k != "revision"}}
statements = [payload((documents / "claims").read_bytes()), json.dumps(statement, separators=(",", ":")).encode()]
pairs = [[operation] for operation in OPERATIONS] + [OPERATIONS[11:12] + OPERATIONS[13:], OPERATIONS[1:5], OPERATIONS]
for operations in pairs:
    line = json.dumps({**command, "basis": 100, "operations": operations}, separators=(",", ":")).encode()
    for extra in ([], statements[:1], statements[1:], statements):
        seed("command", b"\n".join([line, *extra]))
        seed("json", line)
for path in sorted((VECTORS / "fuzz").glob("*/*")):
    seed(path.parent.name, path.read_bytes())
print({folder.name: len(list(folder.iterdir())) for folder in sorted(CORPUS.iterdir())})
PYTHON
