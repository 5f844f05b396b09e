//! The two verifiers of a log, each as whoever checks it runs it: the product's own, and the second implementation.
//!
//! What must hold, and what must not, is left to the suite.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

use crate::lattice::path;
use crate::program::program;
use crate::vectors::repository;

/// `countersign -o json` somewhere without a folder and without a broker: its exit code and what it printed.
pub fn elsewhere(arguments: &[&str]) -> (i32, Value) {
    let room = TempDir::new().expect("a folder");
    let arguments = [&["-o", "json"], arguments].concat();
    printed(&program("countersign").args(arguments).current_dir(room.path()).output().expect("it starts"))
}

/// What a program with `-o json` ended with and printed.
pub fn printed(output: &Output) -> (i32, Value) {
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let told = serde_json::from_slice(text).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(text)));
    (output.status.code().unwrap_or(-1), told)
}

/// The second implementation, with these arguments.
pub fn python(arguments: &[&str]) -> Output {
    let verifier = repository().join("tests/python/verify_log.py");
    let ran = Command::new("python3").arg("-B").arg(verifier).args(arguments).output();
    ran.expect("python3, with its standard library, runs the second implementation")
}

/// What each verifier makes of the log in a folder: why the first refuses it, if it does; whether the second takes it.
pub fn both_on_log(folder: &Path, root: &str, segments: Option<&Path>) -> (Option<String>, bool) {
    let beside: Vec<&str> = segments.into_iter().flat_map(|segments| ["--segments", path(segments)]).collect();
    let (code, told) = elsewhere(&[&["--dir", path(folder), "--root", root, "audit", "verify"], &beside[..]].concat());
    let second = python(&[&["log", path(folder), "--root", root], &beside[..]].concat());
    (refusal(code, &told), takes(&second))
}

/// What each verifier makes of a proof file.
pub fn both_on_proof(file: &Path, root: &str) -> (Option<String>, bool) {
    let (code, told) = elsewhere(&["--root", root, "audit", "verify", "--proof", path(file)]);
    (refusal(code, &told), takes(&python(&["proof", path(file), "--root", root])))
}

fn refusal(code: i32, told: &Value) -> Option<String> {
    assert!(code == 0 || code == 3, "{told}");
    (code != 0).then(|| told["error"].as_str().expect("a reason").to_owned())
}

fn takes(ran: &Output) -> bool {
    let (said, failed) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{}", said.trim_end());
    assert!(matches!(ran.status.code(), Some(0 | 3)), "{said}{failed}");
    ran.status.success()
}

/// Changes a log as a database administrator does: the guard rails away, the change, and back again.
pub fn edit(log: &Path, change: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(log);
        let mut log = SqliteConnection::connect_with(&options).await.expect("a log");
        let rails = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
        let rails: Vec<(String, String)> = sqlx::query_as(rails).fetch_all(&mut log).await.expect("its rails");
        let away = rails.iter().map(|(name, _)| ["DROP TRIGGER ", name.as_str()].concat());
        let back = rails.iter().map(|(_, sql)| sql.clone());
        for sql in away.chain([change.to_owned()]).chain(back) {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut log).await.expect("it is changed");
        }
        log.close().await.expect("it is closed");
    });
}
