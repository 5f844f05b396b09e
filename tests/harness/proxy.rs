//! A wire that breaks: carries between a program and its NATS server until it is cut, stalled, slowed or forgotten.
//!
//! It reads nothing of what it carries.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A wire to one server.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    // Connections are closed, new ones too.
    Cut,
    // Connections stay, and nothing gets through.
    Stalled,
    // Towards the program, so many bytes every few milliseconds.
    Slow(usize),
}

struct Shared {
    server: String,
    way: Mutex<Way>,
    sockets: Mutex<Vec<TcpStream>>,
    made: AtomicUsize,
    // Connections made before this one stay open and carry nothing for ever.
    forgotten: AtomicUsize,
    ended: AtomicBool,
}

impl Proxy {
    /// A wire to the server at that address, `127.0.0.1:4222`.
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            way: Mutex::new(Way::Open),
            sockets: Mutex::default(),
            made: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                accepting.accept(stream);
            }
        });
        Self { port, shared }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// How many connections were made over it.
    pub fn connections(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// Closes every connection, and each new one at once.
    pub fn cut(&self) {
        self.turn(Way::Cut);
        self.shared.close();
    }

    /// Keeps every connection open and carries nothing, in either direction.
    pub fn stall(&self) {
        self.turn(Way::Stalled);
    }

    /// Carries so few bytes towards the program every ten milliseconds.
    pub fn slow(&self, bytes: usize) {
        self.turn(Way::Slow(bytes));
    }

    /// Carries everything again.
    pub fn heal(&self) {
        self.turn(Way::Open);
    }

    /// Leaves the connections that exist open and carries nothing over them ever again; new ones are carried. What a
    /// firewall does that has forgotten them.
    pub fn forget(&self) {
        self.shared.forgotten.store(self.connections(), Ordering::SeqCst);
    }

    fn turn(&self, way: Way) {
        *self.shared.way.lock().expect("the way") = way;
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, program: TcpStream) {
        if self.way() == Way::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let mut sockets = self.sockets.lock().expect("the sockets");
        for (from, to, down) in [(&program, &server, false), (&server, &program, true)] {
            let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
            let shared = Arc::clone(self);
            thread::spawn(move || shared.carry(from, to, number, down));
        }
        sockets.extend([program, server]);
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, number: usize, down: bool) {
        from.set_read_timeout(Some(TICK)).expect("a timeout");
        let mut buffer = [0; 16 * 1024];
        while !self.ended.load(Ordering::SeqCst) {
            let most = match self.way() {
                _ if number < self.forgotten.load(Ordering::SeqCst) => 0,
                Way::Open => buffer.len(),
                Way::Slow(bytes) if down => bytes,
                Way::Slow(_) => buffer.len(),
                Way::Stalled => 0,
                Way::Cut => break,
            };
            if most < buffer.len() {
                thread::sleep(TICK);
            }
            if most == 0 {
                continue;
            }
            match from.read(&mut buffer[..most]) {
                Ok(0) => break,
                Ok(read) if to.write_all(&buffer[..read]).is_ok() => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(_) | Err(_) => break,
            }
        }
        // One that is closed already is as good as closed.
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn way(&self) -> Way {
        *self.way.lock().expect("the way")
    }

    fn close(&self) {
        for socket in self.sockets.lock().expect("the sockets").drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.close();
        // Wakes the one that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

const TICK: Duration = Duration::from_millis(10);
