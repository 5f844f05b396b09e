//! Writes one line to standard error for each record, numbered within the instance.

wit_bindgen::generate!({ path: "../wit", world: "logger", generate_all });

use std::sync::atomic::{AtomicU32, Ordering};

use exports::wasi::logging::logging::{Guest, Level};
use wasi::cli::stderr::get_stderr;

/// What one blocking write of a stream takes at most.
const CHUNK: usize = 4096;

static RECORDS: AtomicU32 = AtomicU32::new(0);

struct Logger;

impl Guest for Logger {
    fn log(level: Level, context: String, message: String) {
        let number = RECORDS.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        let mut line = [super::PREFIX, " #", &number.to_string(), " ", level, " "].concat();
        push_escaped(&mut line, &context);
        line.push_str(": ");
        push_escaped(&mut line, &message);
        line.push('\n');

        let stream = get_stderr();
        for chunk in line.as_bytes().chunks(CHUNK) {
            // A record that cannot be written is lost: `log` has no way to say so.
            if stream.blocking_write_and_flush(chunk).is_err() {
                return;
            }
        }
    }
}

/// Keeps a record on one line, so that text cannot forge another record.
fn push_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            other => line.push(other),
        }
    }
}

export!(Logger);
