//! `wasi:cli`: no arguments, an empty environment, a closed standard input, and output to the log, line by line.
//!
//! Where lines go from there is left to the embedder's sink.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use policy::name::ComponentId;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

use crate::builtin::Shelf;

pub(super) const PACKAGE: &str = "wasi:cli";
pub(super) const INTERFACES: &[&str] = &[
    "environment",
    "exit",
    "stderr",
    "stdin",
    "stdout",
    "terminal-input",
    "terminal-output",
    "terminal-stderr",
    "terminal-stdin",
    "terminal-stdout",
];

// Arguments, environment and input are empty because nothing fills them: the builder starts from nothing.
pub(super) fn configure(builder: &mut WasiCtxBuilder, id: &ComponentId, shelf: &Arc<Shelf>) {
    builder.stdout(Lines::new(id, shelf)).stderr(Lines::new(id, shelf));
}

/// An output whose lines go to the log.
#[derive(Clone)]
struct Lines(Arc<Open>);

struct Open {
    id: ComponentId,
    shelf: Arc<Shelf>,
    line: Mutex<Vec<u8>>,
}

impl Lines {
    fn new(id: &ComponentId, shelf: &Arc<Shelf>) -> Self {
        Self(Arc::new(Open { id: id.clone(), shelf: Arc::clone(shelf), line: Mutex::default() }))
    }

    fn put(&self, bytes: &[u8]) {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if *byte == b'\n' || line.len() >= MAX_LINE {
                self.0.end(&mut line);
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }
}

impl Open {
    fn end(&self, line: &mut Vec<u8>) {
        self.shelf.line(&self.id, &String::from_utf8_lossy(line));
        line.clear();
    }
}

// What was begun is not lost with its stream.
impl Drop for Open {
    fn drop(&mut self) {
        let mut line = std::mem::take(self.line.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !line.is_empty() {
            self.end(&mut line);
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.put(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.put(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const MAX_LINE: usize = 4096;
const MAX_WRITE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_becomes_lines_with_the_component_before_each() {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&seen);
        let shelf = Arc::new(Shelf::new(Arc::new(move |line| sink.lock().unwrap().push(line.to_owned()))));
        let lines = Lines::new(&ComponentId::parse("cart").unwrap(), &shelf);
        lines.put(b"one\ntw");
        lines.put(b"o\x1b[2J\n");
        lines.put(&[b'x'; MAX_LINE]);
        lines.put(b"begun");
        drop(lines);
        let long = format!("[cart] {}", "x".repeat(MAX_LINE));
        assert_eq!(*seen.lock().unwrap(), ["[cart] one", "[cart] two\\u{1b}[2J", &long, "[cart] begun"]);
    }
}
