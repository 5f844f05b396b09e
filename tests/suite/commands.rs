//! The command line as others rely on it: exit codes, one form of output, keys that stay secret, builtin folders.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use harness::program::{countersign, countersign_json};
use harness::vectors::guest;
use serde_json::json;

const ROLES: [(&str, char); 8] = [
    ("root", 'O'),
    ("administrator", 'O'),
    ("issuer", 'A'),
    ("host", 'N'),
    ("decision", 'C'),
    ("component", 'M'),
    ("provider", 'V'),
    ("user", 'U'),
];

#[test]
fn t69_keys_go_to_a_file_of_their_own_and_are_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    for role in ROLES.iter().map(|(role, _)| *role).chain(["log"]) {
        let path = folder.path().join(role);
        let file = path.to_str().unwrap();
        let (code, made) = countersign_json(&["keys", "gen", role, "--out", file]);
        assert_eq!((code, &made["role"]), (0, &json!(role)), "{made}");
        let seed = std::fs::read_to_string(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!made.to_string().contains(seed.trim()), "{role}: the seed was printed");
        let (code, shown) = countersign_json(&["keys", "show", file]);
        assert_eq!((code, &shown["public"]), (0, &made["public"]), "{shown}");
        let (code, refused) = countersign_json(&["keys", "gen", role, "--out", file]);
        assert_eq!((code, &refused["error"]), (3, &json!("already_exists")));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), seed, "{role}: a key was overwritten");
    }
    for (role, letter) in ROLES {
        let shown = countersign_json(&["keys", "show", folder.path().join(role).to_str().unwrap()]).1;
        assert!(shown["public"].as_str().unwrap().starts_with(letter), "{role}");
    }
}

#[test]
fn t69_a_seed_is_not_repeated_wherever_it_is_given() {
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.json");
    std::fs::write(&trust, json!({"issuers": [{"key": seed, "scope": ["*"]}]}).to_string()).unwrap();
    let token = folder.path().join("seed.jwt");
    std::fs::write(&token, &seed).unwrap();
    let (trust, token) = (trust.to_str().unwrap(), token.to_str().unwrap());
    for arguments in [
        &["keys", "show", &seed][..],
        &["verify", &seed, "--trust", trust],
        &["verify", token, "--trust", trust],
        &["claims", "sign", "x", "--issuer-key", &seed],
        &["claims", "inspect", token],
        &[&seed],
        &["-x", &seed, "keys", "gen", "log"],
        &["-o", "json", "--key", &seed, "keys", "show", "x"],
    ] {
        let output = countersign(arguments);
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_ne!(output.status.code(), Some(0), "{printed}");
        assert!(!printed.contains(&seed[..20]), "the seed came back");
    }
}

#[test]
fn each_outcome_has_its_exit_code_and_its_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cart.wasm");
    std::fs::write(&path, guest("cart")).unwrap();
    let trust = folder.path().join("trust.json");
    std::fs::write(&trust, br#"{"issuers":[]}"#).unwrap();
    let (path, trust) = (path.to_str().unwrap(), trust.to_str().unwrap());
    for (arguments, code, error) in [
        (&["verify", path, "--trust", trust][..], 3, "claims_missing"),
        (&["verify", "/nonexistent", "--trust", trust], 1, "failed"),
        (&["verify", path, "--trust", path], 3, "json_malformed"),
        (&["verify", path, "--trust", trust, "--at", "9007199254740993"], 3, "time_malformed"),
        (&["verify"], 2, "usage"),
        (&["nonsense"], 2, "usage"),
        (&["verify", path, "--frobnicate"], 2, "usage"),
        (&["archive", "inspect", path], 3, "claims_kind"),
    ] {
        let output = countersign(&[&["-o", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let said: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&said["success"], &said["error"]), (&json!(false), &json!(error)), "{arguments:?}");
        assert!(said["error_chain"].is_array() && said["message"].is_string());
        let text = countersign(arguments);
        assert_eq!(text.status.code(), Some(code), "{arguments:?}");
    }
    assert_eq!(countersign(&[]).status.code(), Some(2));
    let help = countersign(&["claims", "sign", "--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("Examples:"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = countersign(&["completions", shell]);
        assert!(script.status.success() && String::from_utf8(script.stdout).unwrap().contains("countersign"));
    }
}

#[test]
fn t68_names_in_claims_do_not_reach_the_terminal_raw() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cart.wasm");
    std::fs::write(&path, guest("cart")).unwrap();
    let issuer = key(folder.path(), "issuer");
    let hostile = "cart\r\n\u{1b}[2J\u{202e}=HYPERLINK<script>\u{7}";
    let arguments =
        ["claims", "sign", path.to_str().unwrap(), "--issuer-key", &issuer, "--name", hostile, "--tag", hostile];
    let signed = countersign_json(&arguments).1;
    let file = signed["file"].as_str().unwrap();
    assert_eq!(signed["name"], json!(hostile), "JSON carries it whole, escaped");
    for arguments in [&["claims", "inspect", file][..], &["-o", "json", "claims", "inspect", file]] {
        let output = countersign(arguments);
        assert!(output.status.success());
        assert!(output.stdout.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{arguments:?}");
    }
}

#[test]
fn t46_a_rogue_builtin_folder_is_refused_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = key(folder.path(), "issuer");
    let public = countersign_json(&["keys", "show", &issuer]).1["public"].clone();
    let trust = folder.path().join("trust.json");
    std::fs::write(&trust, json!({"issuers": [{"key": public, "scope": ["*"]}]}).to_string()).unwrap();
    let trust = trust.to_str().unwrap();
    let builtins = folder.path().join("builtins");
    std::fs::create_dir(&builtins).unwrap();
    let sign = |name: &str, to: &str| {
        let path = folder.path().join(format!("{name}.wasm"));
        std::fs::write(&path, guest(name)).unwrap();
        let to = builtins.join(to);
        let (code, signed) = countersign_json(&[
            "claims",
            "sign",
            path.to_str().unwrap(),
            "--issuer-key",
            &issuer,
            "--out",
            to.to_str().unwrap(),
        ]);
        assert_eq!(code, 0, "{signed}");
        std::fs::set_permissions(&to, Permissions::from_mode(0o644)).unwrap();
        to
    };
    let verify = || {
        let (code, report) = countersign_json(&["verify", builtins.to_str().unwrap(), "--trust", trust]);
        let results = report["results"].as_array().cloned().unwrap_or_default();
        let reasons: Vec<_> =
            results.iter().map(|result| result["reason"].as_str().unwrap_or("accepted").to_owned()).collect();
        (code, if reasons.is_empty() { vec![report["error"].as_str().unwrap_or_default().to_owned()] } else { reasons })
    };
    let logger = sign("logger", "logger.wasm");
    assert_eq!(verify(), (0, vec!["accepted".to_owned()]));
    // A name that sorts first wins nothing.
    let rival = sign("rival", "a.wasm");
    assert_eq!(verify(), (3, vec!["ambiguous".to_owned(); 2]));
    std::fs::remove_file(&rival).unwrap();
    symlink(&logger, builtins.join("link.wasm")).unwrap();
    assert_eq!(verify(), (3, vec!["file_unsafe".to_owned(), "accepted".to_owned()]));
    std::fs::remove_file(builtins.join("link.wasm")).unwrap();
    std::fs::write(builtins.join("dropped.txt"), b"hello").unwrap();
    std::fs::set_permissions(builtins.join("dropped.txt"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(verify(), (3, vec!["archive_malformed".to_owned(), "accepted".to_owned()]));
    std::fs::remove_file(builtins.join("dropped.txt")).unwrap();
    std::fs::set_permissions(&logger, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(verify(), (3, vec!["file_unsafe".to_owned()]));
    std::fs::set_permissions(&logger, Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(&builtins, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(verify(), (3, vec!["file_unsafe".to_owned()]));
}

fn key(folder: &Path, role: &str) -> String {
    let path = folder.join(format!("{role}.nk")).to_str().unwrap().to_owned();
    assert_eq!(countersign_json(&["keys", "gen", role, "--out", &path]).0, 0);
    path
}
